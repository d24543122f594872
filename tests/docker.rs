//! What docker/ gives users, checked without an engine: it parses, says nothing that Compose does not know, and runs what the tests run.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use yaml_rust2::{Yaml, YamlLoader};

fn text(path: &str) -> String {
    std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn parsed(text: &str) -> Yaml {
    let mut documents = YamlLoader::load_from_str(text).unwrap();
    assert_eq!(documents.len(), 1, "compose.yaml is one document");
    documents.remove(0)
}

fn compose() -> Yaml {
    parsed(&text("docker/compose.yaml"))
}

fn entries(map: &Yaml) -> Vec<(&str, &Yaml)> {
    map.as_hash().unwrap().iter().map(|(name, value)| (name.as_str().unwrap(), value)).collect()
}

/// A list of words. A number or a `yes` without quotes is none: Compose would read it otherwise.
fn words(list: &Yaml) -> Vec<&str> {
    list.as_vec().unwrap().iter().map(|word| word.as_str().unwrap_or_else(|| panic!("{word:?} is no text"))).collect()
}

const SERVICE_KEYS: &[&str] = &["image", "profiles", "command", "environment", "ports", "volumes", "healthcheck", "restart"];

/// What is wrong with a compose file.
fn faults_of(compose: &Yaml) -> Vec<String> {
    let mut faults = Vec::new();
    let known = ["name", "services", "volumes"];
    faults.extend(entries(compose).iter().filter(|(key, _)| !known.contains(key)).map(|(key, _)| format!("there is no {key} at the top")));
    let volumes: Vec<&str> = entries(&compose["volumes"]).iter().map(|(name, _)| *name).collect();
    for (name, service) in entries(&compose["services"]) {
        let mut fault = |what: String| faults.push(format!("{name}: {what}"));
        entries(service).iter().filter(|(key, _)| !SERVICE_KEYS.contains(key)).for_each(|(key, _)| fault(format!("there is no {key}")));
        let tag = service["image"].as_str().and_then(|image| image.rsplit_once(':')).map_or("latest", |(_, tag)| tag);
        if tag.split('-').next().unwrap().split('.').filter(|part| part.parse::<u32>().is_ok()).count() != 3 {
            fault(format!("its tag {tag} names no version of three numbers"));
        }
        if words(&service["profiles"]).is_empty() {
            fault("it has no profile, so that it would always start".into());
        }
        for port in words(&service["ports"]) {
            let parts: Vec<&str> = port.split(':').collect();
            if parts.len() != 3 || parts[0] != "127.0.0.1" || parts[1..].iter().any(|port| port.parse::<u16>().is_err()) {
                fault(format!("{port} is no port of this machine alone"));
            }
        }
        for volume in words(&service["volumes"]) {
            if !matches!(volume.split_once(':'), Some((volume, path)) if volumes.contains(&volume) && path.starts_with('/')) {
                fault(format!("the volume of {volume} is not declared"));
            }
        }
        faults.extend(faults_of_health(&service["healthcheck"]).into_iter().map(|what| format!("{name}: {what}")));
    }
    faults
}

fn faults_of_health(health: &Yaml) -> Vec<String> {
    let Some(map) = health.as_hash() else { return vec!["it has no healthcheck".into()] };
    let mut faults = Vec::new();
    for (key, value) in map {
        let sound = match key.as_str().unwrap() {
            "test" => words(value).len() > 1 && matches!(words(value)[0], "CMD" | "CMD-SHELL"),
            "interval" | "timeout" | "start_period" => {
                value.as_str().and_then(|text| text.strip_suffix('s')).is_some_and(|text| text.parse::<u32>().is_ok())
            }
            "retries" => value.as_i64().is_some_and(|tries| tries > 0),
            _ => false,
        };
        if !sound {
            faults.push(format!("healthcheck {key:?} is {value:?}"));
        }
    }
    faults.extend((!health["test"].is_array()).then(|| "its healthcheck tests nothing".to_owned()));
    faults
}

#[test]
fn the_compose_file_says_what_compose_knows() {
    let faults = faults_of(&compose());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let services: Vec<&str> = entries(&compose()["services"]).iter().map(|(name, _)| name.to_string().leak() as &str).collect();
    assert_eq!(services, ["redis", "valkey", "kafka"]);
}

#[test]
fn mistakes_in_a_compose_file_are_seen() {
    let planted = [
        ("image: redis:7.0.15-bookworm", "image: redis:latest"),
        ("image: redis:7.0.15-bookworm", "image: redis:7"),
        ("image: redis:7.0.15-bookworm", "img: redis:7.0.15-bookworm"),
        ("profiles: [valkey]", "profiles: []"),
        ("127.0.0.1:9092:9092\"]", "9092:9092\"]"),
        ("[\"kafka:/var/lib/kafka/data\"]", "[\"kafak:/var/lib/kafka/data\"]"),
        ("test: [CMD, valkey-cli, ping]", "tests: [CMD, valkey-cli, ping]"),
        ("interval: 5s", "interval: 5"),
        ("retries: 12", "retries: 12s"),
        ("\nvolumes:", "\nvolume: {}\nvolumes:"),
    ];
    let whole = text("docker/compose.yaml");
    for (right, wrong) in planted {
        let broken = whole.replacen(right, wrong, 1);
        assert_ne!(broken, whole, "{right} is not there");
        assert!(!faults_of(&parsed(&broken)).is_empty(), "nobody sees {wrong}");
    }
}

/// The words behind `start` in the first line that holds it, up to `end`.
fn behind<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let rest = text.split_once(start).unwrap_or_else(|| panic!("{start} is not there")).1;
    rest.split_once(end).unwrap_or_else(|| panic!("{end} is not behind {start}")).0
}

#[test]
fn images_are_of_the_versions_that_the_tests_run_against() {
    let (compose, services, kafka) = (compose(), text("scripts/services"), text("scripts/kafka/service.sh"));
    let image = |name: &str| compose["services"][name]["image"].as_str().unwrap().to_owned();
    let versions = behind(&services, "version() {", "}");
    for (name, of) in [("redis", "redis:"), ("valkey", "valkey/valkey:")] {
        let version = behind(versions, &format!("{name}) echo "), " ;;");
        assert!(image(name).starts_with(&format!("{of}{version}")), "{} is not {version}", image(name));
    }
    assert_eq!(image("kafka"), format!("apache/kafka:{}", behind(&kafka, "*) echo ", " ;;")));
    assert!(text("scripts/kafka/pom.xml").contains(&format!("<kafka.version>{}<", behind(&kafka, "*) echo ", " ;;"))));
}

#[test]
fn redis_and_valkey_run_with_the_settings_of_the_tests() {
    let (compose, services) = (compose(), text("scripts/services"));
    let tested = format!("--appendonly {}", behind(&services, "--appendonly ", " >/dev/null"));
    let tested: Vec<&str> = tested.split_whitespace().map(|word| word.trim_matches('"')).collect();
    assert_eq!(tested.len(), 8, "{tested:?}");
    for name in ["redis", "valkey"] {
        let command = words(&compose["services"][name]["command"]);
        assert_eq!(command[0], format!("{name}-server"));
        assert_eq!(command[1..], tested, "{name}");
    }
}

#[test]
fn kafka_runs_with_the_settings_of_the_tests() {
    let (compose, script) = (compose(), text("scripts/kafka/cluster"));
    let tested: BTreeMap<&str, &str> = behind(&script, "cat <<END\n", "\nEND\n").lines().filter_map(|line| line.split_once('=')).collect();
    let own = ["node.id", "listeners", "advertised.listeners", "inter.broker.listener.name", "log.dirs"];
    let mut compared = 0;
    for (name, value) in entries(&compose["services"]["kafka"]["environment"]) {
        let value = value.as_str().unwrap_or_else(|| panic!("{name} is no text"));
        let Some(property) = name.strip_prefix("KAFKA_") else {
            // 16 bytes in base64.
            assert_eq!((name, value.len()), ("CLUSTER_ID", 22));
            continue;
        };
        let property = property.to_lowercase().replace('_', ".");
        let Some(tested) = tested.get(property.as_str()).filter(|_| !own.contains(&property.as_str())) else { continue };
        // Of a cluster of one node.
        let tested = tested.replace("$replicas", "1").replace("$in_sync", "1");
        assert_eq!(value, tested, "{property}");
        compared += 1;
    }
    assert!(compared >= 8, "only {compared} settings are in both");
}

const INSTRUCTIONS: &[&str] = &["FROM", "RUN", "ARG", "WORKDIR", "COPY", "USER", "STOPSIGNAL", "ENTRYPOINT"];

/// The instructions of a Dockerfile, each in one line.
fn instructions(text: &str) -> Vec<(String, String)> {
    let whole = text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let lines = whole.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| line.split_once(' ').map(|(name, rest)| (name.to_owned(), rest.to_owned())).unwrap()).collect()
}

#[test]
fn the_dockerfile_builds_with_the_oldest_rust_and_runs_as_nobody() {
    let all = instructions(&text("docker/Dockerfile"));
    for (name, rest) in &all {
        assert!(INSTRUCTIONS.contains(&name.as_str()), "{name} {rest}");
    }
    let of = |name: &str| all.iter().filter(|(one, _)| one == name).map(|(_, rest)| rest.as_str()).collect::<Vec<_>>();
    let manifest = text("Cargo.toml");
    let rust = behind(&manifest, "rust-version = \"", "\"");
    assert_eq!(of("FROM"), [format!("rust:{rust}-slim-bookworm AS build"), "debian:bookworm-slim".to_owned()]);
    assert!(of("COPY").iter().any(|copy| copy.starts_with("--from=build ")));
    assert!(of("RUN").iter().any(|run| run.contains("cargo build --release --locked")));
    assert_eq!((of("USER").len(), of("STOPSIGNAL")), (1, vec!["SIGTERM"]));
    assert!(of("USER")[0].parse::<u32>().unwrap() > 0);
    // In the form of a shell the shell gets the signal, and not the worker.
    assert!(of("ENTRYPOINT")[0].starts_with("[\""));
    for argument in ["BIN", "FEATURES"] {
        assert!(
            of("ARG").iter().any(|one| one.starts_with(&format!("{argument}=")))
                && of("RUN").iter().any(|run| run.contains(&format!("${argument}")))
        );
    }
}
