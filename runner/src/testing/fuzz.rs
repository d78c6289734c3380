//! Inputs made at random, from a seed each.
//!
//! `BAKEOFF_FUZZ_CASES` says how many (the defaults take a few seconds in all), `BAKEOFF_FUZZ_SEED`
//! which is the first. A failure prints the seed that repeats it as the only case.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng as _, SeedableRng},
};
use serde_json::Value;

/// Mutants have at most so many bytes.
const MOST_BYTES: usize = 64 * 1024;

/// Tries so many cases, or as many as the environment says; gives their number.
pub fn cases(default: u64, mut case: impl FnMut(&mut Random)) -> u64 {
    let cases = number("BAKEOFF_FUZZ_CASES").unwrap_or(default);
    let first = number("BAKEOFF_FUZZ_SEED").unwrap_or(1);
    eprintln!("{cases} cases from seed {first}");
    for seed in first..first.saturating_add(cases) {
        let named = Case(seed);
        case(&mut Random(ChaCha8Rng::seed_from_u64(seed)));
        drop(named);
    }
    cases
}

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{variable}={value:?} is no number")),
    )
}

/// Names the case where it panics.
struct Case(u64);

impl Drop for Case {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "repeat it with BAKEOFF_FUZZ_SEED={} BAKEOFF_FUZZ_CASES=1",
                self.0
            );
        }
    }
}

/// What a case draws from.
pub struct Random(ChaCha8Rng);

impl Random {
    /// A number below `bound`, which is over 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.0.next_u64() % bound as u64) as usize
    }

    /// One of several.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// Changes something of a text: `words` are pieces that mean something to whoever reads it,
    /// `others` where pieces may come from.
    pub fn mutate(&mut self, bytes: &mut Vec<u8>, others: &[&[u8]], words: &[&[u8]]) {
        let at = self.below(bytes.len() + 1);
        let to = (at + self.below(80)).min(bytes.len());
        match self.below(8) {
            0 if at < bytes.len() => bytes[at] = self.below(256) as u8,
            1 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
            2 => drop(bytes.drain(at..to)),
            3 => bytes.truncate(at),
            4 => {
                let again = bytes[at..to].to_vec();
                bytes.splice(at..at, again);
            }
            5 => {
                let other = *self.pick(others);
                let from = self.below(other.len());
                let until = (from + self.below(300)).min(other.len());
                bytes.splice(at..to, other[from..until].iter().copied());
            }
            _ => drop(bytes.splice(at..at, self.pick(words).iter().copied())),
        }
        bytes.truncate(MOST_BYTES);
    }

    /// Changes one value somewhere in a document, which stays well-formed. What is deep is changed as
    /// often as what is not, however many values lie beside it.
    pub fn mutate_json(&mut self, document: &mut Value) {
        let mut place = document;
        while self.below(5) > 0 {
            let children = match place {
                Value::Array(items) => items.len(),
                Value::Object(fields) => fields.len(),
                _ => 0,
            };
            if children == 0 {
                break;
            }
            let at = self.below(children);
            place = match place {
                Value::Array(items) => &mut items[at],
                Value::Object(fields) => fields.values_mut().nth(at).unwrap(),
                _ => break,
            };
        }
        *place = self.other(place);
    }

    /// A value in place of another: often of its own type, so that it gets past the reader.
    fn other(&mut self, value: &Value) -> Value {
        match value {
            Value::Number(_) if self.below(8) > 0 => self.pick(&numbers()).clone(),
            Value::String(_) if self.below(8) > 0 => self.pick(&texts()).clone(),
            Value::Bool(yes) if self.below(8) > 0 => Value::Bool(!yes),
            Value::Array(items) if !items.is_empty() && self.below(8) > 0 => {
                let mut items = items.clone();
                let at = self.below(items.len());
                match self.below(4) {
                    0 => items.clear(),
                    1 => drop(items.remove(at)),
                    2 => items.push(items[at].clone()),
                    _ => items.reverse(),
                }
                Value::Array(items)
            }
            Value::Object(fields) if !fields.is_empty() && self.below(8) > 0 => {
                let mut fields = fields.clone();
                let names: Vec<String> = fields.keys().cloned().collect();
                let (from, to) = (self.pick(&names).clone(), self.pick(&names).clone());
                match self.below(3) {
                    0 => drop(fields.remove(&from)),
                    1 => drop(fields.insert(to, fields[&from].clone())),
                    _ => drop(fields.insert("unknown".into(), Value::Bool(true))),
                }
                Value::Object(fields)
            }
            _ => {
                let mut all = numbers();
                all.extend(texts());
                all.extend([
                    Value::Null,
                    Value::Bool(true),
                    Value::Array(Vec::new()),
                    Value::Object(serde_json::Map::new()),
                ]);
                self.pick(&all).clone()
            }
        }
    }
}

fn numbers() -> Vec<Value> {
    let mut all: Vec<Value> = [0, 1, 2, u64::from(u32::MAX), u64::MAX, 1 << 53]
        .map(Value::from)
        .to_vec();
    all.extend([-1, i64::MIN].map(Value::from));
    all.extend([0.5, -0.0, 1e-300, 1e15, 1e300, -1e300, 5e-324].map(Value::from));
    all
}

fn texts() -> Vec<Value> {
    let long = "x".repeat(5000);
    [
        "",
        " ",
        "a",
        "-1",
        "1e999",
        "NaN",
        "\u{0}",
        "\u{202e}\u{1f600}e\u{301}",
        "../../x",
        "<script>alert(1)</script>",
        "{{ messages }}{% for x in y %}",
        "\"'&<>\n\r\t",
        "2026-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999999Z",
        "-009999-01-01T00:00:00Z",
        "99999999999999999999999999999999999",
        "1h",
        "99999999999999999999h",
        "0.1ms",
        "Infinity",
        &long,
    ]
    .map(Value::from)
    .to_vec()
}
