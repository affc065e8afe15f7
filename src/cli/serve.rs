//! `plasmad serve`: takes the flags, resolves the configuration, and serves; or prints or checks it.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use plasmad_shm::fd_passing;
use serde_json::json;

use super::output::Output;
use crate::config::keys::{LOG_LEVELS, OBJECTS_MAX};
use crate::config::layers::{self, Layer, Setting};
use crate::config::value::Value;
use crate::config::{Config, FullPolicy, HugePages, Key, LogFormat, Populate, Settings, check, print};
use crate::error::Failure;
use crate::keeper;
use crate::size::{self, Size};

/// Start a store and serve it until SIGTERM
///
/// Prints one line when it serves: `plasmad 0.1.0 serving PATH, 4.0 GiB, pid N`. SIGTERM drains and exits 0; a
/// second one stops at once.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Serve {
    /// How much memory objects may take: 512MiB, 4GiB, or a share of what this cgroup may use [default: 30%]
    #[arg(long, value_name = "SIZE")]
    memory: Option<Size>,
    /// What happens when memory is full [default: spill]
    #[arg(long, value_name = "POLICY", value_enum)]
    when_full: Option<FullPolicy>,
    /// Which memory is made ready before it is used [default: ahead]
    #[arg(long, value_name = "HOW", value_enum)]
    populate: Option<Populate>,
    /// Whether memory is made of huge pages [default: auto]
    #[arg(long, value_name = "WHEN", value_enum)]
    huge_pages: Option<HugePages>,
    /// How many objects there can be; each takes 68 bytes of index when it is used [default: 1048576]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(OBJECTS_MAX)))]
    max_objects: Option<u32>,
    /// Let this user connect as a reader; may be repeated
    #[arg(long, value_name = "UID", value_delimiter = ',')]
    reader_uid: Vec<u32>,
    /// Let this group connect as readers; may be repeated
    #[arg(long, value_name = "GID", value_delimiter = ',')]
    reader_gid: Vec<u32>,
    /// Let this user do everything; may be repeated
    #[arg(long, value_name = "UID", value_delimiter = ',')]
    writer_uid: Vec<u32>,
    /// Let this group do everything; may be repeated
    #[arg(long, value_name = "GID", value_delimiter = ',')]
    writer_gid: Vec<u32>,
    /// Spill to this folder, and keep what is in it when the store ends [default: a private one, which goes then]
    #[arg(long, value_name = "DIR")]
    spill_dir: Option<PathBuf>,
    /// How much may be spilled: 64GiB, or a share of what is free there at start [default: 50%]
    #[arg(long, value_name = "SIZE")]
    spill_max: Option<Size>,
    /// Keep nothing on disk
    #[arg(long)]
    no_spill: bool,
    /// How much is logged on standard error [default: info]
    #[arg(long, value_name = "LEVEL", value_parser = LOG_LEVELS)]
    log_level: Option<String>,
    /// In which form it is logged [default: text]
    #[arg(long, value_name = "FORM", value_enum)]
    log_format: Option<LogFormat>,
    /// Read what isn't given as a flag or in the environment from this TOML file [env: PLASMAD_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Say whether this configuration could be served here, and don't serve
    #[arg(long)]
    check_config: bool,
    /// Print the configuration that would be served, as TOML, and where each value comes from; don't serve
    #[arg(long, conflicts_with = "check_config")]
    print_config: bool,
    /// Write the ready line to this open descriptor as well, then close it
    #[arg(long, value_name = "N")]
    ready_fd: Option<i32>,
    /// Stop when this process ends
    #[arg(long, value_name = "PID")]
    exit_with_pid: Option<u32>,
}

impl Serve {
    pub(super) fn run(self, socket: Option<PathBuf>, output: &Output) -> Result<(), Failure> {
        let ready = self.ready_fd.map(fd_passing::adopt).transpose().map_err(|error| {
            let fd = self.ready_fd.unwrap_or_default();
            Failure::usage(format!("--ready-fd {fd} can't be used: {error}"))
        })?;
        for (name, meant) in layers::misspelt(std::env::vars_os().filter_map(|(name, _)| name.into_string().ok())) {
            output.remark(&format!("plasmad: nothing reads the environment variable {name}; did you mean {meant}?"));
        }
        let settings = Settings::from_surroundings(self.flags(socket), self.config.clone())?;
        let config = settings.config(self.exit_with_pid)?;
        if self.print_config {
            return output.answer(print::document(&settings, &config), || print::toml(&settings, &config));
        }
        if self.check_config {
            check::check(&config)?;
            return output.answer(json!({ "ok": true }), || checked(&config));
        }
        keeper::serve(&config, ready)
    }

    /// What the command line says.
    fn flags(&self, socket: Option<PathBuf>) -> Layer {
        let ids = |ids: &Vec<u32>| (!ids.is_empty()).then(|| Value::Ids(ids.clone()));
        let level = |level: &String| LOG_LEVELS.into_iter().find(|known| known == level);
        let given = [
            (Key::Memory, self.memory.map(Value::Memory)),
            (Key::WhenFull, word(Key::WhenFull, self.when_full)),
            (Key::Populate, word(Key::Populate, self.populate)),
            (Key::HugePages, word(Key::HugePages, self.huge_pages)),
            (Key::MaxObjects, self.max_objects.map(Value::Count)),
            (Key::ReaderUid, ids(&self.reader_uid)),
            (Key::ReaderGid, ids(&self.reader_gid)),
            (Key::WriterUid, ids(&self.writer_uid)),
            (Key::WriterGid, ids(&self.writer_gid)),
            (Key::SpillDir, self.spill_dir.clone().map(Value::Path)),
            (Key::SpillMax, self.spill_max.map(Value::Disk)),
            (Key::NoSpill, self.no_spill.then_some(Value::Switch(true))),
            (Key::LogLevel, self.log_level.as_ref().and_then(level).map(Value::Word)),
            (Key::LogFormat, word(Key::LogFormat, self.log_format)),
        ];
        let given = given.into_iter().filter_map(|(key, value)| Some((key, Setting::flag(value?))));
        given.chain(socket_flag(socket)).collect()
    }
}

/// The flag all commands have.
pub(super) fn socket_flag(socket: Option<PathBuf>) -> Layer {
    socket.map(|path| (Key::Socket, Setting::flag(Value::Path(path)))).into_iter().collect()
}

/// The word of a key that a value of its type is called.
fn word<T: ValueEnum>(key: Key, value: Option<T>) -> Option<Value> {
    let possible = value?.to_possible_value()?;
    key.kind().read_word(possible.get_name())
}

fn checked(config: &Config) -> String {
    let (socket, memory) = (config.socket.display(), size::display(config.memory_bytes));
    format!("this configuration can be served: {socket}, {memory}\n")
}

const EXAMPLES: &str = "\
Examples:
  plasmad serve --memory 4GiB                          one store for this user
  plasmad serve --memory 4GiB --spill-dir /data/spill  more than memory, on a disk of its own
  plasmad serve --config /etc/plasmad.toml             settings from a file
  plasmad serve --config FILE --check-config           would that work here?
  plasmad serve --memory 50% --print-config            what would be served, and why
  plasmad serve --socket /run/plasmad/socket --writer-gid 2000 --reader-gid 2001
                                                       one store for two groups

Each flag but --config, --check-config, --print-config, --ready-fd and --exit-with-pid is also a key of the file, by
the same name (memory = \"4GiB\"), and an environment variable (PLASMAD_MEMORY=4GiB). A flag wins over the environment,
the environment over the file.";

#[cfg(test)]
mod tests {
    use clap::{Command, FromArgMatches};

    use super::*;
    use crate::config::file;

    fn command() -> Command {
        Serve::augment_args(Command::new("serve")).no_binary_name(true)
    }

    #[test]
    fn each_key_is_a_flag_and_each_other_flag_belongs_to_one_process() {
        let flags: Vec<String> = command().get_arguments().filter_map(|it| it.get_long()).map(str::to_owned).collect();
        let own = ["config", "check-config", "print-config", "ready-fd", "exit-with-pid"];
        for flag in &flags {
            assert!(Key::named(flag).is_some() != own.contains(&flag.as_str()), "{flag}");
        }
        // The socket is a flag of all commands.
        for key in Key::ALL.into_iter().filter(|key| *key != Key::Socket) {
            assert!(flags.iter().any(|flag| flag == key.name()), "{key:?}");
        }
    }

    #[test]
    fn what_flags_say_is_what_the_same_words_say_in_a_file() {
        let line = "--memory 1GiB --when-full refuse --populate none --huge-pages never --max-objects 9 --reader-uid 1 --reader-uid 2 \
            --reader-gid 3 --writer-uid 4,5 --writer-gid 6 --spill-dir /d --spill-max 2GiB --no-spill --log-level debug --log-format json";
        let serve = Serve::from_arg_matches(&command().get_matches_from(line.split_whitespace())).unwrap();
        let text = "socket = '/s'\nmemory = '1GiB'\nwhen-full = 'refuse'\npopulate = 'none'\nhuge-pages = 'never'\nmax-objects = 9\n\
            reader-uid = [1, 2]\nreader-gid = [3]\nwriter-uid = [4, 5]\nwriter-gid = [6]\nspill-dir = '/d'\nspill-max = '2GiB'\nno-spill = true\n\
            log-level = 'debug'\nlog-format = 'json'";
        let values = |layer: Layer| layer.into_iter().map(|(key, it)| (key, it.value)).collect::<Vec<_>>();
        let flags = values(serve.flags(Some("/s".into())));
        assert_eq!(flags, values(file::parse(text, "f".as_ref()).unwrap()));
        assert_eq!(flags.len(), Key::ALL.len());
    }
}
