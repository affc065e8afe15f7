//! From layers to the configuration a daemon is started with.

use std::path::PathBuf;

use clap::ValueEnum;
use plasmad_shm::populate::HUGE_PAGE_BYTES;

use super::keys::Key;
use super::layers::{self, Layer, Setting, Source, merge};
use super::value::Value;
use super::{Access, Config, FullPolicy, HugePages, Spill, file};
use crate::error::{Exit, Failure};
use crate::memory::machine::{self, Bound};
use crate::size::{self, Size};

/// Every key's value and where it comes from.
#[derive(Clone, Debug)]
pub struct Settings(Layer);

impl Settings {
    /// Flags over environment over file over defaults.
    pub fn new(flags: Layer, environment: Layer, file: Layer) -> Self {
        Self(merge([flags, environment, file]))
    }

    /// The same, with this process's environment, and the file named by a flag or in `PLASMAD_CONFIG`.
    pub fn from_surroundings(flags: Layer, file: Option<PathBuf>) -> Result<Self, Failure> {
        let named = std::env::var_os("PLASMAD_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from);
        let file = file.or(named).map_or(Ok(Layer::new()), |path| file::read(&path))?;
        Ok(Self::new(flags, layers::environment(|name| std::env::var_os(name))?, file))
    }

    /// A key's value, and where it comes from.
    pub fn get(&self, key: Key) -> &Setting {
        &self.0[&key]
    }

    /// What a daemon is started with.
    pub fn config(&self, exit_with_pid: Option<u32>) -> Result<Config, Failure> {
        Ok(Config {
            socket: match &self.get(Key::Socket).value {
                Value::Path(path) => path.clone(),
                other => unfit(Key::Socket, other),
            },
            memory_bytes: self.memory_bytes(&machine::limit())?,
            when_full: self.word(Key::WhenFull),
            spill: self.spill()?,
            populate: self.word(Key::Populate),
            huge_pages: self.huge_pages(),
            objects_max: match &self.get(Key::MaxObjects).value {
                Value::Count(count) => *count,
                other => unfit(Key::MaxObjects, other),
            },
            access: Access {
                writer_uids: self.ids(Key::WriterUid)?,
                writer_gids: self.ids(Key::WriterGid)?,
                reader_uids: self.ids(Key::ReaderUid)?,
                reader_gids: self.ids(Key::ReaderGid)?,
            },
            exit_with_pid,
            log_level: match &self.get(Key::LogLevel).value {
                Value::Word(word) => (*word).to_owned(),
                other => unfit(Key::LogLevel, other),
            },
            log_format: self.word(Key::LogFormat),
        })
    }

    /// The arena's size: whole pages, huge ones if it is to be made of them, and no more than the machine can ever give.
    pub fn memory_bytes(&self, limit: &Bound) -> Result<u64, Failure> {
        let Setting { value, source } = self.get(Key::Memory);
        let asked = match value {
            Value::Memory(asked) => *asked,
            other => unfit(Key::Memory, other),
        };
        let page_bytes = match self.huge_pages() {
            HugePages::Always => HUGE_PAGE_BYTES as u64,
            HugePages::Auto | HugePages::Never => PAGE_BYTES,
        };
        let bytes = match asked {
            Size::Bytes(bytes) => bytes.checked_next_multiple_of(page_bytes).unwrap_or(u64::MAX),
            Size::Percent(percent) => limit.bytes / 100 * u64::from(percent) / page_bytes * page_bytes,
        };
        let naming = source.naming(Key::Memory);
        if bytes > limit.bytes {
            let (asked, given) = (size::display(bytes), size::display(limit.bytes));
            let what = format!("{naming} asks for {asked}, but {} is {given}", limit.name);
            return Err(Failure::new(Exit::Usage, "MemoryUnavailable", what).hint("ask for less"));
        }
        if bytes < MEMORY_BYTES_MIN {
            let (asked, least) = (size::display(bytes), size::display(MEMORY_BYTES_MIN));
            return Err(
                Failure::usage(format!("{naming} {asked} is too little")).hint(format!("ask for at least {least}"))
            );
        }
        Ok(bytes)
    }

    /// Where and how much objects are spilled, if they are at all.
    pub fn spill(&self) -> Result<Option<Spill>, Failure> {
        let directory = match &self.get(Key::SpillDir).value {
            Value::Path(path) => Some(path.clone()).filter(|path| !path.as_os_str().is_empty()),
            other => unfit(Key::SpillDir, other),
        };
        let Setting { value, source } = self.get(Key::SpillMax);
        let most = match value {
            Value::Disk(Size::Bytes(bytes)) if *bytes < SPILL_BYTES_MIN => {
                let (asked, least) = (size::display(*bytes), size::display(SPILL_BYTES_MIN));
                let what = format!("{} {asked} is too little", source.naming(Key::SpillMax));
                return Err(Failure::usage(what).hint(format!("ask for at least {least}, or for --no-spill")));
            }
            Value::Disk(most) => *most,
            other => unfit(Key::SpillMax, other),
        };
        let is_wanted = self.get(Key::NoSpill).value == Value::Switch(false)
            && self.word::<FullPolicy>(Key::WhenFull) == FullPolicy::Spill;
        Ok(is_wanted.then_some(Spill { directory, most }))
    }

    /// Whether memory is made of huge pages.
    pub fn huge_pages(&self) -> HugePages {
        self.word(Key::HugePages)
    }

    fn word<T: ValueEnum>(&self, key: Key) -> T {
        match &self.get(key).value {
            // A test holds the words of each key against its type.
            Value::Word(word) => T::from_str(word, false).expect("the key's words are those of its type"),
            other => unfit(key, other),
        }
    }

    /// Users or groups; not those that would never be admitted.
    fn ids(&self, key: Key) -> Result<Vec<u32>, Failure> {
        let Setting { value, source } = self.get(key);
        let ids = match value {
            Value::Ids(ids) => ids,
            other => unfit(key, other),
        };
        let naming = source.naming(key);
        match ids.iter().find(|id| [OVERFLOW_ID, NO_ID].contains(id)) {
            None => Ok(ids.clone()),
            Some(&OVERFLOW_ID) if matches!(key, Key::ReaderGid | Key::WriterGid) => Ok(ids.clone()),
            Some(&OVERFLOW_ID) => {
                let what = format!("{naming} names {OVERFLOW_ID}, which stands for users this machine doesn't know");
                Err(Failure::usage(what).hint("nobody who shows that number is ever admitted: name another user"))
            }
            Some(id) => Err(Failure::usage(format!("{naming} names {id}, which is nobody's number"))
                .hint(format!("a user or group is a number from 0 to {}", NO_ID - 1))),
        }
    }
}

/// Layers are read by kind, so this is a mistake of plasmad's own.
fn unfit(key: Key, value: &Value) -> ! {
    unreachable!("{} can't be {value:?}", key.name())
}

impl Setting {
    /// A value given on the command line.
    pub fn flag(value: Value) -> Self {
        Self { value, source: Source::Flag }
    }
}

const PAGE_BYTES: u64 = 4096;
/// Less than this is a slip of the unit.
const MEMORY_BYTES_MIN: u64 = 64 << 10;
/// The same.
const SPILL_BYTES_MIN: u64 = 1 << 20;
/// What Linux shows for a user that has no number in this namespace.
const OVERFLOW_ID: u32 = 65_534;
/// What chown(2) takes for "leave it".
const NO_ID: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LogFormat, Populate, value::Kind};

    fn of(key: Key, value: Value) -> Settings {
        Settings::new(Layer::from([(key, Setting::flag(value))]), Layer::new(), Layer::new())
    }

    fn limit(bytes: u64) -> Bound {
        Bound { bytes, name: "the memory limit of cgroup /x".to_owned() }
    }

    #[test]
    fn each_word_of_a_key_is_one_of_its_type() {
        let words = |key: Key| match key.kind() {
            Kind::Word(words) => words,
            kind => panic!("{kind:?}"),
        };
        let of_type = |names: Vec<clap::builder::PossibleValue>| -> Vec<String> {
            names.iter().map(|value| value.get_name().to_owned()).collect()
        };
        let variants = |key: Key| match key {
            Key::WhenFull => FullPolicy::value_variants().iter().filter_map(ValueEnum::to_possible_value).collect(),
            Key::Populate => Populate::value_variants().iter().filter_map(ValueEnum::to_possible_value).collect(),
            Key::HugePages => HugePages::value_variants().iter().filter_map(ValueEnum::to_possible_value).collect(),
            _ => LogFormat::value_variants().iter().filter_map(ValueEnum::to_possible_value).collect(),
        };
        for key in [Key::WhenFull, Key::Populate, Key::HugePages, Key::LogFormat] {
            assert_eq!(words(key), of_type(variants(key)));
        }
    }

    #[test]
    fn memory_is_whole_pages_and_a_share_is_of_the_limit() {
        let bytes = |size: Size| of(Key::Memory, Value::Memory(size)).memory_bytes(&limit(1 << 30)).unwrap();
        assert_eq!(bytes(Size::Bytes(70_000)), 73_728);
        assert_eq!(bytes(Size::Bytes(1 << 30)), 1 << 30);
        assert_eq!(bytes(Size::Percent(50)), (1_073_741_824 / 100 * 50) / 4096 * 4096);
    }

    #[test]
    fn memory_of_huge_pages_is_whole_huge_pages() {
        let bytes = |size: Size| {
            let huge = Setting::flag(Value::Word("always"));
            let flags = Layer::from([(Key::Memory, Setting::flag(Value::Memory(size))), (Key::HugePages, huge)]);
            Settings::new(flags, Layer::new(), Layer::new()).memory_bytes(&limit(1 << 30)).unwrap()
        };
        assert_eq!(bytes(Size::Bytes(3_000_000)), 4 << 20);
        assert_eq!(bytes(Size::Percent(50)) % (2 << 20), 0);
    }

    #[test]
    fn memory_the_machine_cannot_give_names_who_asks_and_whose_limit_it_is() {
        let settings = of(Key::Memory, Value::Memory(Size::Bytes(2 << 30)));
        let failure = settings.memory_bytes(&limit(1 << 30)).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert_eq!(failure.message, "--memory asks for 2.0 GiB, but the memory limit of cgroup /x is 1.0 GiB");
        let source = Source::File { path: "/f".into(), line: 7 };
        let value = Value::Memory(Size::Bytes(1));
        let file = Layer::from([(Key::Memory, Setting { value, source })]);
        let settings = Settings::new(Layer::new(), Layer::new(), file);
        let failure = settings.memory_bytes(&limit(1 << 30)).unwrap_err();
        assert_eq!(failure.message, "/f:7: memory 4.0 KiB is too little");
    }

    #[test]
    fn objects_are_spilled_unless_that_is_not_wanted() {
        let spill = |key: Key, value: Value| of(key, value).spill().map_err(|failure| failure.message);
        let default = Spill { directory: None, most: Size::Percent(50) };
        assert_eq!(spill(Key::WhenFull, Value::Word("spill")), Ok(Some(default.clone())));
        assert_eq!(spill(Key::WhenFull, Value::Word("evict")), Ok(None));
        assert_eq!(spill(Key::NoSpill, Value::Switch(true)), Ok(None));
        let given = Spill { directory: Some("/d".into()), ..default.clone() };
        assert_eq!(spill(Key::SpillDir, Value::Path("/d".into())), Ok(Some(given)));
        let bytes = |bytes| spill(Key::SpillMax, Value::Disk(Size::Bytes(bytes)));
        assert_eq!(bytes(1 << 20), Ok(Some(Spill { most: Size::Bytes(1 << 20), ..default })));
        assert_eq!(bytes(64), Err("--spill-max 64 B is too little".to_owned()));
    }

    #[test]
    fn users_who_are_never_admitted_are_refused() {
        let refused = |key: Key, id: u32| of(key, Value::Ids(vec![1000, id])).config(None).map_err(|it| it.message);
        assert!(refused(Key::ReaderUid, 65_534).unwrap_err().contains("--reader-uid names 65534"));
        assert!(refused(Key::WriterGid, u32::MAX).unwrap_err().contains("nobody's number"));
        // A group of that number is an ordinary one: nogroup.
        assert!(refused(Key::WriterGid, 65_534).is_ok());
        assert_eq!(refused(Key::WriterUid, 0).unwrap().access.writer_uids, [1000, 0]);
    }
}
