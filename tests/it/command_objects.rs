//! `put`, `get`, `ls`, `stat`, `rm`, `evict`: what they print and what they do.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use plasmad_client::{CreateOptions, Store, Timeout, id};
use serde_json::{Value, json};

use super::command::{Shell, check_fields, ran};

#[test]
fn put_prints_an_id_for_each_file_and_get_gives_the_bytes_back() {
    let shell = Shell::new();
    shell.file("one", b"1");
    shell.file("two", &vec![2; 3_000_000]);
    shell.file("none", b"");
    let printed = shell.prints("put one two none");
    let ids: Vec<&str> = printed.lines().collect();
    assert_eq!(ids.len(), 3);
    assert!(ids.iter().all(|id| id.len() == 56 && id.bytes().all(|digit| digit.is_ascii_hexdigit())), "{printed}");
    assert_eq!(shell.prints(&format!("get {}", ids[0])), "1");
    assert_eq!(shell.prints(&format!("get {}", ids[1].to_uppercase())).len(), 3_000_000);
    assert_eq!(shell.prints(&format!("get {}", ids[2])), "");
}

#[test]
fn put_as_json_tells_id_name_size_and_time() {
    let shell = Shell::new();
    shell.file("file", b"12345");
    let document = shell.document("put --name model file");
    check_fields(&document, &[("schema", "integer"), ("objects", "list")]);
    let object = &document["objects"][0];
    check_fields(object, &[("id", "text"), ("name", "text"), ("data_bytes", "integer"), ("seconds", "number")]);
    assert_eq!((&object["id"], &object["data_bytes"]), (&json!(id::from_name("model").to_string()), &json!(5)));
    let hex = "00ff".repeat(14);
    let document = shell.document(&format!("put --id {hex} file"));
    assert_eq!((&document["objects"][0]["id"], &document["objects"][0]["name"]), (&json!(hex), &Value::Null));
    assert_eq!(shell.document("put file file")["objects"].as_array().map(Vec::len), Some(2));
}

#[test]
fn put_takes_standard_input_metadata_and_the_evictable_mark() {
    let shell = Shell::new();
    let mut put = shell.command(["put", "--name", "piped", "--metadata", "über", "--evictable", "-"]);
    let mut put = put.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("plasmad runs");
    put.stdin.take().expect("a pipe").write_all(b"through a pipe").expect("a reader");
    let put = ran(put.wait_with_output().expect("plasmad ends"));
    assert_eq!((put.exit, put.stdout), (0, format!("{}\n", id::from_name("piped"))));
    assert_eq!(shell.prints("get name:piped"), "through a pipe");
    assert_eq!(shell.prints("get --metadata name:piped"), "über");
    assert_eq!(shell.document("stat name:piped")["evictable"], true);
}

#[test]
fn get_writes_a_file_whole_or_not_at_all() {
    let shell = Shell::new();
    shell.file("large", &vec![3; 2_000_000]);
    shell.prints("put --name large large");
    let remark = shell.run("get name:large -o copy");
    assert_eq!((remark.exit, remark.stdout.as_str()), (0, ""));
    assert!(remark.stderr.contains("1.9 MiB written to copy"), "{}", remark.stderr);
    assert_eq!(shell.prints("--quiet get name:large -o copy"), "", "it is written over, and nothing is said");
    assert_eq!(std::fs::read(shell.folder.path().join("copy")).expect("a file"), vec![3; 2_000_000]);
    let mode = std::fs::metadata(shell.folder.path().join("copy")).expect("a file").permissions().mode();
    assert_eq!(mode & 0o700, 0o600);
    let document = shell.document("get name:large --output copy");
    let fields = [("schema", "integer"), ("id", "text"), ("data_bytes", "integer"), ("metadata_bytes", "integer")];
    check_fields(&document, &[&fields[..], &[("file", "text")]].concat());

    // The disk takes half of it: neither the half nor the name it had on the way stays, and the old file does.
    shell.file("copy", b"as it was");
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\"", super::command::PLASMAD]);
    limited.env("PLASMAD_SOCKET", shell.daemon.socket()).current_dir(shell.folder.path());
    let failed = ran(limited.args(["get", "name:large", "-o", "copy"]).output().expect("sh runs"));
    assert_eq!(failed.exit, 9, "{}", failed.stderr);
    assert_eq!(std::fs::read(shell.folder.path().join("copy")).expect("a file"), b"as it was");
    assert_eq!(shell.run("get name:absent -o new").exit, 4);
    assert_eq!(shell.names(), ["copy", "large"]);
}

/// A device or a pipe stays what it is, and so does a link.
#[test]
fn get_writes_through_what_is_no_regular_file() {
    let shell = Shell::new();
    shell.file("target", b"old");
    shell.prints("put --name x target");
    let path = |name: &str| shell.folder.path().join(name);
    nix::unistd::mkfifo(&path("pipe"), nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    std::os::unix::fs::symlink("target", path("link")).expect("a link");
    let reader = std::thread::spawn({
        let pipe = path("pipe");
        move || std::fs::read(pipe).expect("the bytes")
    });
    shell.prints("--quiet get name:x -o pipe");
    let still = std::fs::symlink_metadata(path("pipe")).expect("a pipe").file_type();
    assert!(std::os::unix::fs::FileTypeExt::is_fifo(&still), "the pipe was replaced");
    assert_eq!(reader.join().expect("the reader"), b"old");
    shell.file("target", b"new");
    shell.prints("--quiet get name:x -o link");
    assert!(std::fs::symlink_metadata(path("link")).expect("a link").is_symlink(), "the link was replaced");
    assert_eq!(std::fs::read(path("target")).expect("a file"), b"old");
    assert_eq!(shell.run("get name:x -o .").exit, 9);
    assert_eq!(shell.names(), ["link", "pipe", "target"]);
}

#[test]
fn get_waits_as_long_as_it_is_told() {
    let shell = Shell::new();
    let mut get = shell.command(["get", "name:later", "--timeout", "60"]);
    let get = get.stdout(Stdio::piped()).spawn().expect("plasmad runs");
    let store = Store::connect(shell.daemon.socket()).expect("connect");
    super::numbers::until_numbers(&store, &[("clients/gets_waiting", 1)]);
    let options = CreateOptions { id: Some(id::from_name("later")), ..CreateOptions::default() };
    store.put(b"now", &options).expect("put");
    let get = ran(get.wait_with_output().expect("plasmad ends"));
    assert_eq!((get.exit, get.stdout.as_str()), (0, "now"));
}

/// The master's end of a terminal is one too.
#[test]
fn get_prints_to_a_terminal_only_when_forced() {
    let shell = Shell::new();
    shell.file("file", b"\x1b[31m");
    shell.prints("put --name x file");
    let to_terminal = |arguments: &[&str]| {
        let terminal = std::fs::OpenOptions::new().read(true).write(true).open("/dev/ptmx").expect("a terminal");
        let mut get = shell.command(arguments);
        ran(get
            .stdin(Stdio::null())
            .stdout(terminal)
            .stderr(Stdio::piped())
            .spawn()
            .expect("plasmad runs")
            .wait_with_output()
            .expect("plasmad ends"))
    };
    let refused = to_terminal(&["get", "name:x"]);
    assert_eq!(refused.exit, 2);
    assert!(refused.stderr.contains("--force"), "{}", refused.stderr);
    assert_eq!(to_terminal(&["get", "name:x", "--force"]).exit, 0);
    assert_eq!(to_terminal(&["get", "name:x", "-o", "out"]).exit, 0);
}

#[test]
fn ls_prints_a_table_and_a_total() {
    let shell = Shell::new();
    assert_eq!(shell.prints("ls").lines().last(), Some("0 objects, 0 B"));
    shell.file("small", b"12345");
    shell.file("large", &[1; 2048]);
    shell.prints("put --name small small");
    shell.prints("put --name large large");
    let table = shell.prints("ls");
    let lines: Vec<&str> = table.lines().collect();
    let words: Vec<&str> = lines[0].split_whitespace().collect();
    assert_eq!(words, ["ID", "STATE", "SIZE", "AGE", "PINS"]);
    assert!(lines[1].starts_with(&id::from_name("small").to_string()) && lines[1].contains("5 B"), "{table}");
    assert!(lines[2].starts_with(&id::from_name("large").to_string()) && lines[2].contains("2.0 KiB"), "{table}");
    assert_eq!(lines[3], "2 objects, 2.0 KiB");
    let table = shell.prints("ls --limit 1");
    assert_eq!(table.lines().last(), Some("2 objects, 2.0 KiB, 1 not shown: see --limit"));
}

#[test]
fn ls_sorts_filters_and_limits() {
    let shell = Shell::new();
    let store = Store::connect(shell.daemon.socket()).expect("connect");
    let named = |text: &str| CreateOptions { id: Some(id::from_name(text)), ..CreateOptions::default() };
    for (text, bytes) in [("a", 10), ("b", 30), ("c", 20)] {
        store.put(&vec![0; bytes], &named(text)).expect("put");
    }
    let _pins = store.get_many(&[id::from_name("c"), id::from_name("c"), id::from_name("a")], Timeout::NO_WAIT);
    let _unsealed = store.create(5, &named("d")).expect("create");
    let ls = |line: &str| {
        let document = shell.document(line);
        check_fields(
            &document,
            &[("schema", "integer"), ("objects", "list"), ("total", "integer"), ("truncated", "bool")],
        );
        let objects = document["objects"].as_array().expect("a list");
        let name_of = |object: &Value| {
            let found = ["a", "b", "c", "d"].into_iter().find(|name| object["id"] == id::from_name(name).to_string());
            found.expect("one of ours")
        };
        let names: String = objects.iter().map(name_of).collect();
        (names, document["total"].as_u64().expect("a number"), document["truncated"] == true)
    };
    assert_eq!(ls("ls"), ("abcd".to_owned(), 4, false));
    assert_eq!(ls("ls --sort size"), ("bcad".to_owned(), 4, false));
    assert_eq!(ls("ls --sort pins --limit 2"), ("ca".to_owned(), 4, true));
    assert_eq!(ls("ls --state created"), ("d".to_owned(), 1, false));
    assert_eq!(ls("ls --state sealed --sort size --limit 1"), ("b".to_owned(), 3, true));
    assert_eq!(ls("ls --state spilled"), (String::new(), 0, false));
    let many = vec![&b"x"[..]; 1100];
    store.put_many(&many, None, &CreateOptions::default()).expect("put_many");
    let shown = |line: &str| shell.document(line)["objects"].as_array().map(Vec::len);
    assert_eq!(shown("ls"), Some(1000));
    assert_eq!(shown("ls --limit 0"), Some(1104));
}

#[test]
fn stat_tells_every_field_of_an_object() {
    let shell = Shell::new();
    let store = Store::connect(shell.daemon.socket()).expect("connect");
    let options = CreateOptions { id: Some(id::from_name("x")), metadata: b"12".to_vec(), ..CreateOptions::default() };
    store.put(b"12345", &options).expect("put");
    let _pin = store.get(id::from_name("x"), Timeout::NO_WAIT).expect("get");
    let mut document = shell.document("stat name:x");
    check_object(&document);
    let holder = document["pinned_by"][0].clone();
    check_fields(&holder, &[("client", "integer"), ("pid", "integer?"), ("label", "text?"), ("pins", "integer")]);
    assert_eq!(
        (&holder["pid"], &holder["label"], &holder["pins"]),
        (&json!(std::process::id()), &Value::Null, &json!(1))
    );
    check_fields(&document["extent"], &[("segment", "integer"), ("offset", "integer"), ("bytes", "integer")]);
    for time in ["created_at", "sealed_at"] {
        let text = document[time].as_str().expect("a time").to_owned();
        assert!(text.len() == 30 && text.as_bytes()[10] == b'T' && text.ends_with('Z'), "{text}");
    }
    let fixed = json!({
        "id": id::from_name("x").to_string(), "state": "sealed", "where": ["memory"], "data_bytes": 5,
        "metadata_bytes": 2, "format": "raw", "pins": 1, "evictable": false, "file": null,
    });
    for (name, value) in fixed.as_object().expect("an object") {
        assert_eq!(&document[name], value, "{name}");
    }
    let _unsealed = store.create(1, &CreateOptions { id: Some(id::from_name("y")), ..CreateOptions::default() });
    document = shell.document("stat name:y");
    check_object(&document);
    assert_eq!((&document["state"], &document["sealed_at"]), (&json!("created"), &Value::Null));
    shell.document("ls")["objects"].as_array().expect("a list").iter().for_each(|object| {
        let mut object = object.clone();
        object["schema"] = json!(1);
        check_object(&object);
    });
    let text = shell.prints("stat name:x");
    for line in ["state      sealed", "data       5 B", "metadata   2 B", "format     raw", "pins       1", "held by"] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
}

fn check_object(document: &Value) {
    let fields = [
        ("schema", "integer"),
        ("id", "text"),
        ("name", "text?"),
        ("state", "text"),
        ("where", "list"),
        ("data_bytes", "integer"),
        ("metadata_bytes", "integer"),
        ("format", "text"),
        ("pins", "integer"),
        ("pinned_by", "list"),
        ("refs", "integer?"),
        ("evictable", "bool"),
        ("created_at", "text"),
        ("sealed_at", "text?"),
        ("extent", "object?"),
        ("file", "object?"),
    ];
    check_fields(document, &fields);
}

#[test]
fn rm_goes_on_past_absent_objects_and_says_so() {
    let shell = Shell::new();
    shell.file("file", b"x");
    let put = || ["a", "b"].iter().for_each(|name| _ = shell.prints(&format!("put --name {name} file")));
    put();
    let some = shell.run("rm name:a name:absent name:b");
    assert_eq!((some.exit, some.stdout.as_str()), (4, "2\n"));
    assert!(some.stderr.contains("2 removed; 1 were not there"), "{}", some.stderr);
    put();
    let some = shell.run("--json rm name:a name:absent name:b");
    let error = &super::command::document(&some.stdout)["error"];
    assert_eq!((some.exit, &error["code"]), (4, &json!("ObjectNotFound")));
    put();
    assert_eq!(shell.prints("rm -f name:a name:absent name:b"), "2\n");
    put();
    assert_eq!(shell.document("rm name:a name:b"), json!({ "schema": 1, "removed": 2 }));
    assert_eq!(shell.document("ls")["total"], 0);
}

#[test]
fn evict_prints_the_bytes_freed() {
    let shell = Shell::new();
    shell.file("file", &vec![1; 1 << 20]);
    shell.prints("put --evictable file file file");
    shell.prints("put file");
    assert_eq!(shell.prints("evict 1"), "1048576\n");
    let document = shell.document("evict 1.5MiB");
    assert_eq!(
        document,
        json!({ "schema": 1, "asked_bytes": 1_572_864, "freed_bytes": 2_097_152, "dropped": 2, "spilled": 0 })
    );
    let rest = shell.document("evict 1GiB");
    assert_eq!((&rest["freed_bytes"], &rest["dropped"], &rest["spilled"]), (&json!(1 << 20), &json!(0), &json!(1)));
    assert_eq!(shell.prints("evict 1GiB"), "0\n");
}
