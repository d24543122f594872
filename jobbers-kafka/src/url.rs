//! URLs: `kafka://[user:password@]host:port[,host:port..][?options]`.

use std::time::Duration;

use jobbers_core::{Error, ErrorKind, Namespace, Result};

use crate::config::{Config, Create, OP, Protocol, refused};

/// A URL that was read.
#[derive(Clone)]
pub(crate) struct Target {
    /// `host:port,host:port`, as librdkafka takes them.
    pub(crate) brokers: String,
    pub(crate) config: Config,
    /// The partner's URL, decoded.
    pub(crate) store: Option<String>,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The store's URL may hold a password.
        write!(f, "Target({}, {:?})", self.brokers, self.config)
    }
}

/// The URL of the partner that the option `store` names: who keeps the jobs whose ids this queue carries. Decoded.
///
/// # Errors
/// `Invalid` if the URL is wrong, or names none.
pub fn store_of(url: &str) -> Result<String> {
    read(url, Config::default())?.store.ok_or_else(|| {
        refused("Kafka carries ids, and a store decides: name one, as in kafka://HOST:9092?store=redis://HOST (or store=redb:PATH)")
    })
}

/// Reads a URL. No message repeats it: it may hold a password.
pub(crate) fn read(url: &str, config: Config) -> Result<Target> {
    let form = "write kafka://[user:password@]host:port[,host:port..]?store=..&namespace=..";
    let rest = url.strip_prefix("kafka://").ok_or_else(|| refused(form))?;
    let (server, options) = rest.split_once('?').unwrap_or((rest, ""));
    let (user, hosts) = match server.rsplit_once('@') {
        Some((user, hosts)) => (Some(user), hosts),
        None => (None, server),
    };
    let hosts = hosts.trim_end_matches('/');
    let mut target = Target { brokers: brokers(hosts).ok_or_else(|| refused(form))?, config, store: None };
    let mut secured = None;
    for option in split(options) {
        let (name, value) = option.split_once('=').ok_or_else(|| refused("an option of the URL has no value"))?;
        if name == "security" {
            secured = Some(security(value)?);
        } else {
            target.set(name, &decoded(value)?)?;
        }
    }
    if let Some(user) = user {
        let (name, password) = user.split_once(':').ok_or_else(|| refused("a user has a password: user:password@"))?;
        let mechanism = ("sasl.mechanism".to_owned(), "PLAIN".to_owned());
        let credentials = [mechanism, ("sasl.username".into(), decoded(name)?), ("sasl.password".into(), decoded(password)?)];
        target.config.properties.splice(0..0, credentials);
    }
    // A password goes over TLS unless somebody says otherwise.
    let protocol = secured.unwrap_or(if user.is_some() { "sasl_ssl" } else { "plaintext" });
    if protocol.ends_with("ssl") && !cfg!(feature = "tls") {
        let why =
            "TLS is not compiled in: add the feature kafka-tls (tls of jobbers-kafka), or say security=sasl_plaintext on a trusted network";
        return Err(Error::new(ErrorKind::Unsupported, OP, why));
    }
    target.config.properties.insert(0, ("security.protocol".into(), protocol.into()));
    target.config.check()?;
    Ok(target)
}

/// Options, one by one. A `&` of a partner's URL has to be encoded as `%26`.
fn split(options: &str) -> impl Iterator<Item = &str> {
    options.split('&').filter(|option| !option.is_empty())
}

fn security(value: &str) -> Result<&'static str> {
    let known = ["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"];
    known.into_iter().find(|one| *one == value).ok_or_else(|| refused(format_args!("the option security is one of {}", known.join(", "))))
}

fn brokers(hosts: &str) -> Option<String> {
    let with_port = |host: &str| match host.rsplit_once(':') {
        Some((name, port)) if !name.is_empty() && port.parse::<u16>().is_ok() => Some(host.to_owned()),
        None if !host.is_empty() && !host.contains('/') => Some(format!("{host}:9092")),
        _ => None,
    };
    hosts.split(',').map(with_port).collect::<Option<Vec<_>>>().map(|hosts| hosts.join(","))
}

impl Target {
    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let config = &mut self.config;
        let number = || value.parse::<i32>().map_err(|_| refused(format_args!("the option {name} is no whole number")));
        let millis = || match value.parse::<u64>() {
            Ok(millis) => Ok(Duration::from_millis(millis)),
            Err(_) => Err(refused(format_args!("the option {name} is no whole number of milliseconds"))),
        };
        match (name, value) {
            ("store", _) => self.store = Some(value.to_owned()),
            ("namespace", _) => config.namespace = Namespace::new(value)?,
            ("prefix", _) => config.prefix = value.to_owned(),
            ("bands", _) => config.bands = u8::try_from(number()?).unwrap_or(0),
            ("partitions", _) => config.partitions = number()?,
            ("replication", _) => config.replication = Some(number()?),
            ("min_insync", _) => config.min_insync = Some(number()?),
            ("create_topics", "missing") => config.create = Create::Missing,
            ("create_topics", "never") => config.create = Create::Never,
            ("create_topics", _) => return Err(refused("the option create_topics is missing or never")),
            ("group_protocol", "classic") => config.protocol = Protocol::Classic,
            ("group_protocol", "consumer") => config.protocol = Protocol::Consumer,
            ("group_protocol", _) => return Err(refused("the option group_protocol is classic or consumer")),
            ("session_timeout_ms", _) => config.session_timeout = millis()?,
            ("push_timeout_ms", _) => config.push_timeout = millis()?,
            ("leave_after_ms", _) => config.leave_after = millis()?,
            _ => match name.strip_prefix("property.") {
                Some(property) => config.properties.push((property.to_owned(), value.to_owned())),
                None => return Err(refused(format_args!("{name:?} is no option; the README of jobbers-kafka lists them"))),
            },
        }
        Ok(())
    }
}

/// Replaces `%41` by `A`. What is not encoded is taken as it stands.
fn decoded(text: &str) -> Result<String> {
    let wrong = || refused("a % in the URL is not followed by two hexadecimal digits of UTF-8; write %25 for it");
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let [first, behind @ ..] = rest {
        rest = match (first, behind) {
            (b'%', [a, b, behind @ ..]) => {
                let digits = [*a, *b];
                let digits = std::str::from_utf8(&digits).map_err(|_| wrong())?;
                bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
                behind
            }
            (b'%', _) => return Err(wrong()),
            (byte, behind) => {
                bytes.push(*byte);
                behind
            }
        };
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_sets_brokers_and_options() {
        let url = "kafka://a:1,b?store=redis://ops:secret@10.0.0.5/?namespace%3Dacme%26eviction%3Daccepted&namespace=acme&partitions=2&bands=4\
                   &group_protocol=consumer&create_topics=never&property.linger.ms=7";
        let target = read(url, Config::default()).unwrap();
        assert_eq!(target.brokers, "a:1,b:9092");
        assert_eq!(target.store.as_deref(), Some("redis://ops:secret@10.0.0.5/?namespace=acme&eviction=accepted"));
        let config = target.config;
        assert_eq!((config.namespace.as_str(), config.partitions, config.bands), ("acme", 2, 4));
        assert_eq!((config.protocol, config.create), (Protocol::Consumer, Create::Never));
        let pairs: Vec<_> = config.properties.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(pairs, ["security.protocol=plaintext", "linger.ms=7"]);
        assert_eq!(store_of("kafka://a?store=redb%3A%2Fvar%2Fjobs%20of%20mine.redb").unwrap(), "redb:/var/jobs of mine.redb");
        assert!(store_of("kafka://a").unwrap_err().to_string().contains("store=redis://HOST"));
    }

    #[test]
    fn a_user_is_sent_with_its_password() {
        let target = read("kafka://ops:hunter%402@h:9093?security=sasl_plaintext&property.sasl.mechanism=SCRAM-SHA-256", Config::default());
        let properties = target.unwrap().config.properties;
        let last = |name: &str| properties.iter().rev().find(|(one, _)| one == name).map(|(_, value)| value.as_str());
        assert_eq!((last("sasl.username"), last("sasl.password")), (Some("ops"), Some("hunter@2")));
        assert_eq!((last("security.protocol"), last("sasl.mechanism")), (Some("sasl_plaintext"), Some("SCRAM-SHA-256")));
    }

    #[test]
    fn a_wrong_url_is_refused_without_its_password() {
        let mut urls = vec![
            "kafka:hunter2",
            "kafka://u:hunter2@",
            "kafka://u:hunter2@h:x",
            "kafka://hunter2@h",
            "kafka://u:hunter2@h?lease=3",
            "kafka://u:hunter2@h?security",
            "kafka://u:hunter2@h?security=none",
            "kafka://u:hunter2@h?security=sasl_plaintext&store=redis://u:hunter2@h?x=%zz",
            "kafka://u:hunter2@h?security=sasl_plaintext&partitions=many",
            "kafka://u:hunter2@h?security=sasl_plaintext&bands=9",
            "kafka://u:hunter2@h?security=sasl_plaintext&property.acks=1",
        ];
        if !cfg!(feature = "tls") {
            urls.push("kafka://u:hunter2@h");
        }
        for url in urls {
            let error = read(url, Config::default()).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Unsupported), "{error:?}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
        let target = read("kafka://u:hunter2@h?security=sasl_plaintext&store=redis://u:hunter2@h", Config::default()).unwrap();
        assert!(!format!("{target:?}").contains("hunter2"), "{target:?}");
    }
}
