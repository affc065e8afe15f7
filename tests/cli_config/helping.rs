//! Help and completions.

use std::process::{Command, Stdio};

use super::stage::Stage;

const COMMANDS: [&str; 13] =
    ["serve", "put", "get", "ls", "stat", "rm", "evict", "stats", "watch", "ping", "bench", "doctor", "completions"];

#[test]
fn the_help_of_each_command_teaches_by_example_and_names_nothing_unknown() {
    let stage = Stage::new();
    let main = stage.run(["help"]).stdout;
    for command in COMMANDS {
        assert!(main.contains(&format!("\n  {command} ")), "{command} is missing in\n{main}");
        let (long, help) = (stage.run([command, "--help"]), stage.run(["help", command]));
        assert_eq!((long.exit, &long.stdout), (0, &help.stdout));
        assert!(
            help.stdout.contains("Examples:\n") && help.stdout.contains(&format!("plasmad {command} ")),
            "{command}"
        );
    }
    let listed = main.split_once("Commands:\n").unwrap().1.split_once("\n\n").unwrap().0.lines().count();
    assert_eq!(listed, COMMANDS.len() + 1, "one of them isn't tested here:\n{main}");
    assert_eq!(stage.run(["--version"]).stdout, format!("plasmad {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn completions_are_programs_their_shell_can_read() {
    let stage = Stage::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = stage.run(["completions", shell]);
        assert_eq!(script.exit, 0, "{script:?}");
        for command in COMMANDS {
            assert!(script.stdout.contains(command), "{command} is missing for {shell}");
        }
        assert!(script.stdout.contains("when-full") && !script.stdout.contains("engine"));
        let path = stage.file("script", &script.stdout);
        match Command::new(shell).arg("-n").arg(path).stderr(Stdio::piped()).output() {
            Ok(checked) => assert!(checked.status.success(), "{shell}: {checked:?}"),
            Err(_) => println!("not run: {shell} is not installed"),
        }
    }
}

#[test]
fn bash_completes_a_command_and_its_words() {
    let stage = Stage::new();
    let path = stage.file("script", &stage.run(["completions", "bash"]).stdout);
    let completed = |words: &[&str]| {
        let last = words.len() - 1;
        let script = format!(
            ". {} && COMP_WORDS=({}) COMP_CWORD={last} && _plasmad plasmad '{}' '{}' && echo \"${{COMPREPLY[@]}}\"",
            path.display(),
            words.join(" "),
            words[last],
            words[last - 1]
        );
        let output = Command::new("bash").args(["-c", &script]).output();
        output.map(|output| String::from_utf8(output.stdout).unwrap())
    };
    let Ok(commands) = completed(&["plasmad", "doc"]) else { return println!("not run: bash is not installed") };
    assert_eq!(commands.trim(), "doctor");
    assert_eq!(completed(&["plasmad", "serve", "--when-full", "ev"]).unwrap().trim(), "evict");
}
