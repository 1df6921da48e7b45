//! How present a user is: what his devices say on each node, merged.
//!
//! Pure. Every store merges with [`Standing::of`], so that all of them mean the same by it.

use crate::command::Status;
use crate::ids::{DeviceId, UserId};
use crate::message::Millis;

/// What a user's connections of one device say on one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its name; all connections that gave none are one device.
    pub name: Option<DeviceId>,
    /// How present he is there; never [`Status::Offline`].
    pub status: Status,
    /// In his own words.
    pub text: Option<String>,
}

/// What a node says of a user: all his devices on it. None at all means that he is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Of whom.
    pub user: UserId,
    /// His devices on this node, the most present in front, of several the one that changed last.
    pub devices: Vec<Device>,
}

/// How present a user is over all nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// That of his most present device.
    pub status: Status,
    /// What that device says; of several the one that spoke last.
    pub text: Option<String>,
    /// The devices that have a name, in order, each once.
    pub devices: Vec<DeviceId>,
}

/// What was changed by something that a node said of a user, or by its death.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shift {
    /// How he stood.
    pub before: Standing,
    /// How he stands.
    pub after: Standing,
    /// Other nodes have him too.
    pub elsewhere: bool,
    /// When, in the store's time.
    pub at_ms: Millis,
}

impl Standing {
    /// Merges what nodes say, each with the time since when it has said so.
    #[must_use]
    pub fn of<'a>(nodes: impl IntoIterator<Item = (Millis, &'a [Device])>) -> Self {
        let mut merged = Self::default();
        let mut latest = 0;
        for (at_ms, devices) in nodes {
            for device in devices {
                let more = device.status > merged.status;
                if more || (device.status == merged.status && at_ms > latest) {
                    merged.status = device.status;
                    merged.text.clone_from(&device.text);
                    latest = at_ms;
                }
                merged.devices.extend(device.name.clone());
            }
        }
        merged.devices.sort();
        merged.devices.dedup();
        merged
    }

    /// Whether he is connected anywhere.
    #[must_use]
    pub fn is_online(&self) -> bool {
        self.status != Status::Offline
    }
}

impl Shift {
    /// His first device came in, over all nodes.
    #[must_use]
    pub fn came(&self) -> bool {
        !self.before.is_online() && self.after.is_online()
    }

    /// His last device went out, over all nodes.
    #[must_use]
    pub fn went(&self) -> bool {
        self.before.is_online() && !self.after.is_online()
    }

    /// Whether others see a difference.
    #[must_use]
    pub fn is_news(&self) -> bool {
        (self.before.status, &self.before.text) != (self.after.status, &self.after.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str, status: Status, text: Option<&str>) -> Device {
        Device {
            name: (!name.is_empty()).then(|| DeviceId::new(name).unwrap()),
            status,
            text: text.map(str::to_owned),
        }
    }

    #[test]
    fn the_most_present_device_wins_and_of_equals_the_one_that_spoke_last() {
        let phone = [device("phone", Status::Away, Some("out"))];
        let laptop = [
            device("laptop", Status::Busy, Some("writing")),
            device("", Status::Busy, Some("older")),
        ];
        let merged = Standing::of([(9, &phone[..]), (5, &laptop[..])]);
        assert_eq!(merged.status, Status::Busy);
        assert_eq!(merged.text.as_deref(), Some("writing"));
        let later = [device("tablet", Status::Busy, None)];
        let merged = Standing::of([(5, &laptop[..]), (7, &later[..])]);
        assert_eq!(merged.text, None);
        assert!(!Standing::of([]).is_online());
    }

    #[test]
    fn a_device_that_moved_is_listed_once() {
        let here = [device("phone", Status::Online, None)];
        let merged = Standing::of([(1, &here[..]), (2, &here[..])]);
        assert_eq!(merged.devices, [DeviceId::new("phone").unwrap()]);
    }

    #[test]
    fn another_device_alone_is_no_news() {
        let here = [device("phone", Status::Online, None)];
        let there = [device("laptop", Status::Away, None)];
        let shift = Shift {
            before: Standing::of([(1, &here[..])]),
            after: Standing::of([(1, &here[..]), (2, &there[..])]),
            elsewhere: true,
            at_ms: 2,
        };
        assert!(!shift.is_news() && !shift.came() && !shift.went());
        assert_ne!(shift.before, shift.after);
    }
}
