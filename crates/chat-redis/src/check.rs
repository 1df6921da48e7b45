//! What is looked at before a node starts: is this a Redis that can keep the promises?

use crate::config::RedisConfig;
use crate::error::{ConfigError, LinkError};
use crate::limits::VERSION_MIN;
use crate::shared::Shared;

/// Something that an operator should change. The node runs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Warning {
    /// Redis would throw away logs and leases under memory pressure.
    #[error(
        "maxmemory-policy is {0}: under memory pressure Redis would throw away rooms' logs and \
         nodes' leases; set it to noeviction"
    )]
    Evicts(String),
    /// Redis does not say what it does under memory pressure.
    #[error("cannot see maxmemory-policy: make sure that it is noeviction")]
    PolicyUnknown,
}

/// Why a node must not start on this Redis.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// The configuration cannot work: correct it.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Not reachable now: try again later.
    #[error("{url} is not available: {why}")]
    Unavailable {
        /// Which Redis.
        url: String,
        /// What went wrong.
        why: String,
    },
    /// Redis refuses: correct user, password or database in its address, or the user's rights.
    #[error("{url} refused: {why}; check user, password and database of the address")]
    Refused {
        /// Which Redis.
        url: String,
        /// What it said.
        why: String,
    },
    /// Upgrade it.
    #[error("{name} {version} is too old: 6.2 is the least")]
    TooOld {
        /// Redis or Valkey.
        name: &'static str,
        /// Its version.
        version: String,
    },
    /// A cluster distributes keys over machines, which this version does not follow.
    #[error("Redis Cluster is not supported: connect to a single primary")]
    Cluster,
}

impl CheckError {
    /// Whether it may be better later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// Asks a Redis or Valkey whether it can keep what this crate promises.
///
/// # Errors
/// [`CheckError`]; only [`CheckError::Unavailable`] is worth another try.
pub async fn check_server(config: &RedisConfig) -> Result<Vec<Warning>, CheckError> {
    let shared = Shared::new(config.clone(), chat_core::InstanceId::random())?;
    let mut pipe = redis::Pipeline::with_capacity(2);
    pipe.cmd("INFO").arg("server");
    pipe.cmd("INFO").arg("memory");
    let url = config.url.to_string();
    let answers = shared.others.run(&mut pipe).await;
    let answers = answers.map_err(|error| match error {
        LinkError::Denied(why) => CheckError::Refused {
            url: url.clone(),
            why,
        },
        LinkError::NotSent(why) | LinkError::Unknown(why) => CheckError::Unavailable {
            url: url.clone(),
            why,
        },
    })?;
    let mut info = String::new();
    for answer in answers {
        let part: Result<String, _> = answer.and_then(|value| Ok(redis::from_redis_value(value)?));
        info += &part.map_err(|error| CheckError::Refused {
            url: url.clone(),
            why: error.to_string(),
        })?;
    }
    judge(&info)
}

/// What INFO says of a server.
fn judge(info: &str) -> Result<Vec<Warning>, CheckError> {
    let of = |name: &str| {
        let mut lines = info.lines().filter_map(|line| line.trim().split_once(':'));
        lines.find_map(|(field, value)| (field == name).then_some(value))
    };
    // Valkey also says which Redis it is compatible with; every Valkey is new enough.
    let (name, version) = match (of("valkey_version"), of("redis_version")) {
        (Some(version), _) => ("Valkey", version),
        (None, version) => ("Redis", version.unwrap_or("of unknown version")),
    };
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().ok());
    let major_minor = (numbers.next().flatten(), numbers.next().flatten());
    if !matches!(major_minor, (Some(major), Some(minor)) if (major, minor) >= VERSION_MIN) {
        return Err(CheckError::TooOld {
            name,
            version: version.to_owned(),
        });
    }
    if of("redis_mode").or(of("server_mode")) == Some("cluster") {
        return Err(CheckError::Cluster);
    }
    Ok(match of("maxmemory_policy") {
        Some("noeviction") => Vec::new(),
        Some(policy) => vec![Warning::Evicts(policy.to_owned())],
        None => vec![Warning::PolicyUnknown],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(version: &str, policy: &str) -> String {
        format!(
            "# Server\r\n{version}\r\nredis_mode:standalone\r\n# Memory\r\nmaxmemory_policy:{policy}\r\n"
        )
    }

    #[test]
    fn servers_are_judged_by_version_mode_and_policy() {
        for good in [
            "redis_version:6.2.0",
            "redis_version:8.0.3",
            "redis_version:7.2.4\r\nvalkey_version:8.1.0",
        ] {
            assert_eq!(judge(&info(good, "noeviction")), Ok(Vec::new()), "{good}");
        }
        for old in ["redis_version:6.0.16", "redis_version:5.0.7", "other:1"] {
            let judged = judge(&info(old, "noeviction"));
            assert!(matches!(judged, Err(CheckError::TooOld { .. })), "{old}");
        }
        let evicts = judge(&info("redis_version:7.0.15", "allkeys-lru"));
        assert_eq!(evicts, Ok(vec![Warning::Evicts("allkeys-lru".to_owned())]));
        let cluster = info("redis_version:7.0.15", "noeviction").replace("standalone", "cluster");
        assert_eq!(judge(&cluster), Err(CheckError::Cluster));
        let silent = judge("redis_version:7.0.15");
        assert_eq!(silent, Ok(vec![Warning::PolicyUnknown]));
    }
}
