//! Who may depend on whom.
//!
//! The tables below are the crate picture of the architecture: arrows point one way, no backend
//! sees another, and each outside library of weight has an owner. A new crate or a new arrow is a
//! decision: it is made here, in the same change.

use std::collections::BTreeSet;
use std::env;
use std::process::Command;

use serde_json::Value;

use crate::assert_none;
use crate::tree::root;

/// For each crate, the crates of this workspace that it may use in what it ships.
///
/// Ordered: a crate sees only crates of earlier lines, so that no cycle can be written down.
const ARROWS: &[(&str, &[&str])] = &[
    ("chat-core", &[]),
    ("chat-testkit", &["chat-core"]),
    ("chat-memory", &["chat-core"]),
    ("chat-redis", &["chat-core"]),
    ("chat-sql", &["chat-core"]),
    ("chat-proto", &["chat-core"]),
    ("chat-ws", &["chat-core", "chat-proto"]),
    ("chat-client", &["chat-core", "chat-proto"]),
    (
        "chat-server",
        &[
            "chat-core",
            "chat-memory",
            "chat-redis",
            "chat-sql",
            "chat-proto",
            "chat-ws",
        ],
    ),
    // A tool that is not shipped; it takes the history checker from the test kit.
    (
        "chat-bench",
        &["chat-core", "chat-testkit", "chat-proto", "chat-client"],
    ),
    // Tests: everything but the server, which they start as a process.
    (
        "chat-tests",
        &[
            "chat-core",
            "chat-testkit",
            "chat-memory",
            "chat-redis",
            "chat-sql",
            "chat-proto",
            "chat-ws",
            "chat-client",
        ],
    ),
];

/// Implementations of the same seams. None may name another, not even in its tests: what they
/// have in common is the contract suite.
const BACKENDS: [&str; 3] = ["chat-memory", "chat-redis", "chat-sql"];

/// An outside library that only some crates may name.
struct Owned {
    libraries: &'static [&'static str],
    owners: &'static [&'static str],
    /// Crates that may name it for their tests.
    testers: &'static [&'static str],
}

const OWNED: &[Owned] = &[
    Owned {
        libraries: &["redis", "deadpool", "deadpool-redis", "fred"],
        owners: &["chat-redis"],
        testers: &[],
    },
    Owned {
        libraries: &[
            "sqlx",
            "rusqlite",
            "libsqlite3-sys",
            "tokio-postgres",
            "postgres",
            "deadpool-postgres",
            "diesel",
        ],
        owners: &["chat-sql"],
        testers: &[],
    },
    // The load generator receives frames raw; end-to-end tests speak the wire by hand.
    Owned {
        libraries: &["tungstenite", "tokio-tungstenite"],
        owners: &["chat-ws", "chat-client", "chat-bench"],
        testers: &["chat-server", "chat-tests"],
    },
    Owned {
        libraries: &["axum", "hyper", "hyper-util"],
        owners: &["chat-ws", "chat-server"],
        testers: &["chat-tests"],
    },
    // Whoever else checks a token or ends TLS does so beside what was thought through once.
    Owned {
        libraries: &["jsonwebtoken"],
        owners: &["chat-server"],
        testers: &[],
    },
    Owned {
        libraries: &["rustls", "rustls-native-certs", "tokio-rustls"],
        owners: &[
            "chat-ws",
            "chat-redis",
            "chat-client",
            "chat-server",
            "chat-bench",
        ],
        testers: &["chat-tests"],
    },
    Owned {
        libraries: &["clap"],
        owners: &["chat-server", "chat-bench"],
        testers: &[],
    },
];

/// What is never shipped.
const FOR_TESTS: &str = "chat-testkit";

#[derive(Debug)]
struct Dependency {
    from: String,
    on: String,
    for_tests: bool,
}

/// The packages of a `cargo metadata` document and what each one names.
fn read_graph(metadata: &Value) -> (BTreeSet<String>, Vec<Dependency>) {
    let packages = metadata["packages"]
        .as_array()
        .expect("metadata lists packages");
    let name = |value: &Value| {
        value["name"]
            .as_str()
            .expect("a package has a name")
            .to_owned()
    };
    let names = packages.iter().map(name).collect();
    let dependencies = packages.iter().flat_map(|package| {
        let named = package["dependencies"]
            .as_array()
            .expect("a package lists dependencies");
        named.iter().map(move |dependency| Dependency {
            from: name(package),
            on: name(dependency),
            for_tests: dependency["kind"] == "dev" || name(package) == "chat-tests",
        })
    });
    (names, dependencies.collect())
}

fn workspace() -> (BTreeSet<String>, Vec<Dependency>) {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(root())
        .output()
        .expect("cargo can be started");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    read_graph(&serde_json::from_slice(&output.stdout).expect("cargo prints JSON"))
}

fn arrows_of(package: &str) -> Option<&'static [&'static str]> {
    ARROWS
        .iter()
        .find(|(name, _)| *name == package)
        .map(|(_, sees)| *sees)
}

/// Arrows that the table does not have. What serves tests alone may point anywhere but from a
/// backend to another.
fn forbidden_arrow(members: &BTreeSet<String>, dependency: &Dependency) -> Option<String> {
    let Dependency {
        from,
        on,
        for_tests,
    } = dependency;
    if !members.contains(on) {
        return None;
    }
    let is_backend = |name: &str| BACKENDS.contains(&name);
    if is_backend(from) && is_backend(on) {
        return Some(format!("{from} -> {on}: no backend sees another"));
    }
    if *for_tests || arrows_of(from).is_some_and(|sees| sees.contains(&on.as_str())) {
        return None;
    }
    let why = if on == FOR_TESTS {
        "belongs under [dev-dependencies]"
    } else {
        "points upwards"
    };
    Some(format!("{from} -> {on}: {why}"))
}

fn foreign_library(dependency: &Dependency) -> Option<String> {
    let Dependency {
        from,
        on,
        for_tests,
    } = dependency;
    let owned = OWNED
        .iter()
        .find(|owned| owned.libraries.contains(&on.as_str()))?;
    let allowed = owned.owners.contains(&from.as_str())
        || (*for_tests && owned.testers.contains(&from.as_str()));
    (!allowed).then(|| format!("{from} -> {on}: only {} may", owned.owners.join(", ")))
}

#[test]
fn every_crate_has_its_place_in_the_picture() {
    let (members, _) = workspace();
    let findings: Vec<_> = members
        .iter()
        .filter(|name| arrows_of(name).is_none())
        .cloned()
        .collect();
    assert_none(&findings, "crates without a line in ARROWS");
}

#[test]
fn arrows_point_one_way() {
    let (members, dependencies) = workspace();
    assert!(
        members.contains("chat-core"),
        "the graph is not the one of this workspace"
    );
    let findings: Vec<_> = dependencies
        .iter()
        .filter_map(|dependency| forbidden_arrow(&members, dependency))
        .collect();
    assert_none(
        &findings,
        "dependencies between crates that the picture does not have",
    );
}

#[test]
fn heavy_libraries_are_named_by_their_owners_alone() {
    let (_, dependencies) = workspace();
    let findings: Vec<_> = dependencies.iter().filter_map(foreign_library).collect();
    assert_none(&findings, "libraries that another crate owns");
}

#[test]
fn the_picture_itself_has_no_cycle() {
    for (line, (name, sees)) in ARROWS.iter().enumerate() {
        for seen in *sees {
            let earlier = ARROWS[..line].iter().any(|(other, _)| other == seen);
            assert!(
                earlier,
                "{name} sees {seen}, which is not above it in ARROWS"
            );
        }
    }
}

/// A metadata document with one dependency and nothing else wrong with it.
fn findings_of(from: &str, on: &str, kind: Value) -> Vec<String> {
    let mut packages: Vec<_> = ARROWS
        .iter()
        .filter(|(name, _)| *name != from)
        .map(|(name, _)| serde_json::json!({"name": name, "dependencies": []}))
        .collect();
    packages.push(serde_json::json!({"name": from, "dependencies": [{"name": on, "kind": kind}]}));
    let (members, dependencies) = read_graph(&serde_json::json!({"packages": packages}));
    let arrows = dependencies
        .iter()
        .filter_map(|found| forbidden_arrow(&members, found));
    arrows
        .chain(dependencies.iter().filter_map(foreign_library))
        .collect()
}

#[test]
fn forbidden_dependencies_are_found() {
    let shipped = [
        ("chat-core", "chat-proto"),
        ("chat-core", "redis"),
        ("chat-memory", "chat-redis"),
        ("chat-redis", "chat-sql"),
        ("chat-ws", "chat-redis"),
        ("chat-server", "chat-testkit"),
        ("chat-server", "deadpool-redis"),
        ("chat-server", "tokio-tungstenite"),
        ("chat-proto", "tokio-tungstenite"),
        ("chat-core", "sqlx"),
        ("chat-tests", "redis"),
        ("chat-client", "hyper"),
    ];
    for (from, on) in shipped {
        assert_eq!(
            findings_of(from, on, Value::Null).len(),
            1,
            "{from} -> {on}"
        );
    }
    for (from, on) in [
        ("chat-memory", "chat-redis"),
        ("chat-core", "redis"),
        ("chat-ws", "sqlx"),
    ] {
        assert_eq!(
            findings_of(from, on, "dev".into()).len(),
            1,
            "{from} -> {on} for tests"
        );
    }
}

#[test]
fn allowed_dependencies_pass() {
    let shipped = [
        ("chat-server", "chat-redis"),
        ("chat-redis", "redis"),
        ("chat-ws", "tokio-tungstenite"),
        ("chat-tests", "tokio-tungstenite"),
        ("chat-core", "bytes"),
    ];
    for (from, on) in shipped {
        assert_eq!(
            findings_of(from, on, Value::Null),
            Vec::<String>::new(),
            "{from} -> {on}"
        );
    }
    for (from, on) in [("chat-memory", "chat-testkit"), ("chat-ws", "chat-memory")] {
        assert_eq!(
            findings_of(from, on, "dev".into()),
            Vec::<String>::new(),
            "{from} -> {on}"
        );
    }
}
