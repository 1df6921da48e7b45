//! Values as they were written, from the least to the most important source, before anybody has
//! looked at them.
//!
//! Every source is checked, also where a more important one overrides it: a mistake that is
//! hidden today is tomorrow's surprise.

use std::collections::{BTreeMap, BTreeSet};

use toml::Value;

use super::problem::{Mistake, Problem};

/// Names that differ by more than this are not taken for a slip of the finger.
const NEAREST_MIN: f64 = 0.7;

#[derive(Debug)]
struct Setting {
    place: String,
    value: Value,
}

/// All values that were given, and the mistakes found in them so far.
#[derive(Debug, Default)]
pub(super) struct Settings {
    given: BTreeMap<String, Vec<Setting>>,
    known: BTreeSet<String>,
    mistakes: Vec<Mistake>,
}

impl Settings {
    /// Adds a value that is more important than all earlier ones of the key.
    pub(super) fn add(&mut self, key: impl Into<String>, place: impl Into<String>, value: Value) {
        self.given.entry(key.into()).or_default().push(Setting {
            place: place.into(),
            value,
        });
    }

    /// Forgets what was added of these keys.
    pub(super) fn set_aside(&mut self, keys: &[&str]) {
        self.given.retain(|key, _| !keys.contains(&key.as_str()));
    }

    /// The most important value of a key; notes the mistakes of all.
    pub(super) fn read<T>(
        &mut self,
        key: &str,
        parse: impl Fn(&Value) -> Result<T, Problem>,
    ) -> Option<T> {
        self.known.insert(key.to_owned());
        let mut last = None;
        for Setting { place, value } in self.given.get(key).into_iter().flatten() {
            match parse(value) {
                Ok(parsed) => last = Some(parsed),
                Err(problem) => self.mistakes.push(Mistake {
                    place: place.clone(),
                    problem,
                }),
            }
        }
        last
    }

    /// Where the most important value of a key was written.
    pub(super) fn place(&self, key: &str) -> Option<&str> {
        let setting = self.given.get(key)?.last()?;
        Some(&setting.place)
    }

    /// Notes a mistake that is not of one value alone.
    pub(super) fn note(&mut self, place: impl Into<String>, problem: Problem) {
        self.mistakes.push(Mistake {
            place: place.into(),
            problem,
        });
    }

    /// The mistakes in what was read, for whoever needs no more than that.
    pub(super) fn finish_partly(self) -> Vec<Mistake> {
        self.mistakes
    }

    /// All mistakes, with the keys that nobody has read.
    pub(super) fn finish(mut self) -> Vec<Mistake> {
        for (key, settings) in &self.given {
            if self.known.contains(key) {
                continue;
            }
            let nearest = self.nearest(key);
            self.mistakes.extend(settings.iter().map(|setting| Mistake {
                place: setting.place.clone(),
                problem: Problem::UnknownKey {
                    nearest: nearest.clone(),
                },
            }));
        }
        self.mistakes
    }

    fn nearest(&self, key: &str) -> Option<String> {
        let name = |key: &str| key.rsplit('.').next().unwrap_or(key).to_owned();
        self.known
            .iter()
            .map(|known| (strsim::jaro_winkler(&name(known), &name(key)), name(known)))
            .filter(|(likeness, _)| *likeness >= NEAREST_MIN)
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, known)| known)
    }
}
