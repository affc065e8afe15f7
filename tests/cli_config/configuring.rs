//! Flags over environment over file over defaults.

use std::fs;

use plasmad::config::{Key, file};

use super::stage::Stage;

#[test]
fn each_source_wins_over_the_next_and_is_named() {
    let stage = Stage::new();
    let path = stage.file("p.toml", "\nmemory = \"1MiB\"\npopulate = \"none\"\nlog-level = \"error\"\n");
    let path = path.to_str().unwrap();
    let variables = [("PLASMAD_MEMORY", "2MiB"), ("PLASMAD_POPULATE", "all"), ("PLASMAD_READER_UID", "7,8")];
    let said = stage.run_with(["serve", "--config", path, "--memory", "3MiB", "--print-config"], variables);
    assert_eq!(said.exit, 0, "{said:?}");
    let line = |key: &str| said.stdout.lines().find(|line| line.starts_with(key)).unwrap();
    assert!(line("memory").starts_with("memory = 3145728 "), "{said:?}");
    assert!(line("memory").ends_with("# flag --memory, 3.0 MiB"), "{said:?}");
    assert!(line("populate").starts_with("populate = \"all\" "), "{said:?}");
    assert!(line("populate").ends_with("# environment PLASMAD_POPULATE"), "{said:?}");
    assert!(line("reader-uid").contains("[7, 8]") && line("reader-uid").ends_with("environment PLASMAD_READER_UID"));
    assert!(line("log-level").ends_with(&format!("# file {path}:4")), "{said:?}");
    assert!(line("when-full").ends_with("# default"), "{said:?}");
    assert!(line("socket").contains(&*stage.path().join("plasmad.sock").to_string_lossy()), "{said:?}");
}

#[test]
fn what_is_printed_serves_as_a_file_that_gives_the_same_again() {
    let stage = Stage::new();
    let first = stage.run_with(["serve", "--print-config"], [("PLASMAD_WHEN_FULL", "evict")]);
    let path = stage.file("again.toml", &first.stdout);
    let again = stage.run_with(["--json", "serve", "--print-config"], [("PLASMAD_CONFIG", path.to_str().unwrap())]);
    let (config, sources) = (again.json()["config"].clone(), again.json()["sources"].clone());
    assert_eq!(config["when-full"], "evict");
    for key in Key::ALL {
        assert!(!config[key.name()].is_null(), "{key:?} is missing in {config}");
        assert_eq!(sources[key.name()], "file", "{key:?}");
    }
    assert_eq!(again.json()["schema"], 1);
}

#[test]
fn mistakes_are_told_with_their_place_and_end_with_2() {
    let stage = Stage::new();
    let path = stage.file("p.toml", "populate = \"all\"\nmemroy = \"1GiB\"\n");
    let path = path.to_str().unwrap();
    let told = |said: super::stage::Said, wanted: &str| {
        assert_eq!(said.exit, 2, "{said:?}");
        assert!(said.stderr.contains(wanted), "{wanted}: {said:?}");
        assert!(said.stdout.is_empty(), "{said:?}");
    };
    told(
        stage.run(["serve", "--config", path]),
        &format!("{path}:2: there is no key \"memroy\"; did you mean \"memory\"?"),
    );
    told(stage.run(["serve", "--config", "/nowhere.toml"]), "/nowhere.toml can't be read: No such file");
    told(
        stage.run_with(["serve"], [("PLASMAD_MAX_OBJECTS", "many")]),
        "PLASMAD_MAX_OBJECTS has a wrong value: \"many\"",
    );
    told(stage.run_with(["serve"], [("PLASMAD_MEMORY", "9000TiB")]), "PLASMAD_MEMORY asks for 9000.0 TiB");
    told(stage.run(["serve", "--when-full", "drop"]), "[possible values: spill, evict, refuse]");
}

#[test]
fn a_misspelt_variable_is_told_and_not_read() {
    let stage = Stage::new();
    let said = stage.run_with(["serve", "--print-config"], [("PLASMAD_LOG_LEVLE", "trace")]);
    assert!(said.stderr.contains("PLASMAD_LOG_LEVLE; did you mean PLASMAD_LOG_LEVEL?"), "{said:?}");
    assert!(said.exit == 0 && !said.stdout.contains("trace"), "{said:?}");
    let other = stage.run_with(["serve", "--print-config"], [("PLASMAD_BIN", "x"), ("PLASMAD_TEST_SOCKET", "y")]);
    assert_eq!(other.stderr, "");
}

#[test]
fn check_config_says_in_one_line_that_it_could_serve_and_leaves_nothing() {
    let stage = Stage::new();
    let said = stage.run(["serve", "--memory", "64MiB", "--check-config"]);
    let socket = stage.path().join("plasmad.sock");
    assert_eq!(said.stdout, format!("this configuration can be served: {}, 64.0 MiB\n", socket.display()));
    assert_eq!((said.exit, &*said.stderr), (0, ""));
    assert_eq!(fs::read_dir(stage.path()).unwrap().count(), 0);
}

#[test]
fn check_config_refuses_what_serve_could_not_do() {
    let stage = Stage::new();
    let refused = |arguments: [&str; 2], wanted: &str| {
        let said = stage.run(["serve", "--check-config", arguments[0], arguments[1]]);
        assert_eq!(said.exit, 2, "{said:?}");
        assert!(said.stderr.contains(wanted), "{wanted}: {said:?}");
    };
    let (long, file) = (stage.path().join("x".repeat(100)), stage.file("f", ""));
    let missing = stage.path().join("no/s");
    refused(["--memory", "8000TiB"], "ask for less");
    refused(["--memory", "1KiB"], "too little");
    refused(["--socket", long.to_str().unwrap()], "at most 107");
    refused(["--socket", file.to_str().unwrap()], "is no socket");
    refused(["--socket", missing.to_str().unwrap()], "mkdir -p");
    refused(["--socket", "/proc/s"], "no socket can be made in /proc");
    refused(["--writer-uid", "65534"], "--writer-uid names 65534");
}

#[test]
fn a_daemon_serves_what_its_file_says() {
    let stage = Stage::new();
    let socket = stage.socket();
    let text = format!(
        "memory = \"1MiB\"\npopulate = \"none\"\nsocket = {:?}\nlog-level = \"warn\"",
        socket.to_str().unwrap()
    );
    let path = stage.file("p.toml", &text);
    let pid = std::process::id().to_string();
    let mut command = stage.command(super::stage::PLASMAD);
    command.args(["serve", "--exit-with-pid", &pid, "--config", path.to_str().unwrap()]);
    let mut daemon = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let store = plasmad_client::Store::connect(&socket).unwrap();
    assert_eq!(store.welcome().unwrap().capacity_bytes, 1 << 20);
    let pid = nix::unistd::Pid::from_raw(daemon.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert!(daemon.wait().unwrap().success());
}

#[test]
fn the_document_names_every_key_with_its_variable_and_its_example_is_right() {
    let document = include_str!("../../docs/CONFIGURATION.md");
    for key in Key::ALL {
        let row = document.lines().find(|line| line.starts_with(&format!("| `{}` |", key.name())));
        let row = row.unwrap_or_else(|| panic!("no row for {key:?}"));
        assert!(row.contains(&format!("`{}`", key.variable())), "{row}");
    }
    let named = document.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    for (name, _) in named {
        assert!(Key::named(name).is_some(), "{name} is no key");
    }
    let (_, example) = document.split_once("```toml\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let layer = file::parse(example, "example".as_ref()).unwrap();
    assert_eq!(layer.len(), Key::ALL.len(), "the example shows every key");
}
