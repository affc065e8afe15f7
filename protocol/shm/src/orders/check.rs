//! Runs the models: as they are, with slips, with each order weakened.
//!
//! Invariant: a model that holds has been tried in every order, as far as threads may interrupt one another; one that
//! breaks does so by its own complaint, or by loom's that bytes are read and written at the same time.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;

use super::expected::{ORDERS, Order, SLIPS, Verdict};
use super::models::{MODELS, Model};
use super::words::Learned;
use super::{FAULT, atomic, scene};

#[test]
fn everything_holds_as_it_is_built() {
    at_once(MODELS, |model| {
        assert_eq!(check(model, 3), Ok(()), "{}", model.name);
        let seen = scene::take_seen();
        let missing: Vec<_> = model.situations.iter().filter(|situation| !seen.contains(*situation)).collect();
        assert!(missing.is_empty(), "{}: {missing:?} never came up, only {seen:?}", model.name);
    });
}

#[test]
fn every_slip_is_noticed() {
    for slip in SLIPS {
        scene::slip(slip.slip);
        FAULT.set(slip.fault);
        let found = MODELS.iter().find_map(|model| check(model, 2).err());
        scene::slip(None);
        FAULT.set(None);
        let found = found.unwrap_or_default();
        assert!(found.contains(slip.breaks), "{:?}, {:?}: {found:?}", slip.slip, slip.fault);
    }
}

/// No order in the code that isn't known, none known that isn't there, and each is worth what is said of it.
#[test]
fn every_order_is_worth_what_is_said_of_it() {
    let mut asked_by: BTreeMap<atomic::Line, Vec<&Model>> = BTreeMap::new();
    for model in MODELS {
        assert_eq!(check(model, 1), Ok(()), "{}", model.name);
        atomic::take_asked().into_iter().for_each(|line| asked_by.entry(line).or_default().push(model));
    }
    let places = places(asked_by.keys().copied());
    let known: BTreeSet<_> = ORDERS.iter().map(Order::place).collect();
    let found: BTreeSet<_> = places.values().cloned().collect();
    assert_eq!(found.difference(&known).collect::<Vec<_>>(), Vec::<&String>::new(), "orders nobody knows");
    assert_eq!(known.difference(&found).collect::<Vec<_>>(), Vec::<&String>::new(), "orders that are not there");

    let lines: Vec<_> = asked_by.into_iter().collect();
    at_once(&lines, |(line, models)| {
        let order = ORDERS.iter().find(|order| order.place() == places[line]).expect("it is known");
        atomic::weaken(Some(*line));
        let found = models.iter().find_map(|model| check(model, 2).err().map(|broken| (model.name, broken)));
        let worth = match (order.verdict, &found) {
            (Verdict::Needed(breaks), Some((model, broken))) if broken.contains(breaks) => {
                format!("needed, or in {model}: {}", broken.lines().next().unwrap_or_default())
            }
            (Verdict::Spare(why), None) => format!("spare, since {why}"),
            (Verdict::Unseen(why), None) => format!("not seen here: {why}"),
            _ => panic!("{} without its order: {found:?}", order.place()),
        };
        println!("{}\n    {worth}", order.place());
    });
}

/// Tries all orders, a large model's with so many interruptions; what broke in the first that breaks anything.
fn check(model: &Model, preemptions: usize) -> Result<(), String> {
    loop {
        let mut loom = loom::model::Builder::new();
        loom.max_branches = BRANCHES_MAX;
        loom.preemption_bound = model.is_large.then_some(preemptions);
        let run = model.run;
        let done = std::panic::catch_unwind(move || loom.check(run));
        atomic::watch(false);
        match done {
            Ok(()) => return Ok(()),
            Err(end) if end.is::<Learned>() => (),
            Err(end) => return Err(message(&*end)),
        }
    }
}

fn message(end: &(dyn Any + Send)) -> String {
    let text = end.downcast_ref::<String>().map(String::as_str);
    text.or(end.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned()
}

/// Does so with each, on as many threads as there are processors. Loom keeps everything by thread.
fn at_once<T: Sync>(all: &[T], work: impl Fn(&T) + Sync) {
    let next = Mutex::new(all.iter());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let take = || next.lock().expect("nobody panics with it").next();
                std::iter::from_fn(take).for_each(&work);
            });
        }
    });
}

/// Where lines stand: the file, the function, and the code; with a number, if the function has the same again.
fn places(lines: impl Iterator<Item = atomic::Line>) -> BTreeMap<atomic::Line, String> {
    let mut places = BTreeMap::new();
    for (path, number) in lines {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let text = std::fs::read_to_string(top.join(path)).expect("the file that was compiled");
        let before: Vec<&str> = text.lines().take(number as usize).collect();
        let code = before.last().expect("the line").trim();
        let start = before.iter().rposition(|line| line.trim_start().contains("fn ")).expect("a function");
        let function = before[start].split("fn ").nth(1).and_then(|rest| rest.split(['(', '<']).next());
        let times = before[start..].iter().filter(|line| line.trim() == code).count();
        let file = path.rsplit("src/").next().expect("a name");
        let place = format!("{file} {}: {code}", function.expect("a name"));
        places.insert((path, number), if times > 1 { format!("{place} #{times}") } else { place });
    }
    places
}

const BRANCHES_MAX: usize = 10_000;
