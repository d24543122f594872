//! What librdkafka says, as errors of the seam: what was tried, on what, and what to do.

use jobbers_core::{Error, ErrorKind};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// What was tried, and where.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At<'a> {
    pub(crate) op: &'static str,
    /// `127.0.0.1:9092`
    pub(crate) brokers: &'a str,
    /// `topic jobbers.acme.Q.mail.0`, `group jobbers.acme`
    pub(crate) what: &'a str,
}

/// Whether a call that failed may have been applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Applied {
    /// It changes nothing, or nothing twice.
    No,
    /// An unanswered one may have been.
    Perhaps,
}

/// The kind of trouble, and what to do about it.
pub(crate) fn judged(code: Code) -> (ErrorKind, &'static str) {
    match code {
        Code::TopicAuthorizationFailed => {
            (ErrorKind::Invalid, "its user has not the right to; clients need Describe and Write, workers Describe and Read of the topics")
        }
        Code::GroupAuthorizationFailed => {
            (ErrorKind::Invalid, "its user has not the right to; workers need Describe and Read of the group")
        }
        Code::ClusterAuthorizationFailed => {
            (ErrorKind::Invalid, "its user has not the right to; making topics needs Create (of the topics' prefix, or of the cluster)")
        }
        Code::Authentication | Code::SaslAuthenticationFailed => {
            (ErrorKind::Invalid, "it refused the user; check name, password and mechanism")
        }
        Code::UnsupportedSASLMechanism | Code::IllegalSASLState => {
            (ErrorKind::Invalid, "it does not speak this mechanism of SASL; check property.sasl.mechanism and the option security")
        }
        Code::SSL => (ErrorKind::Invalid, "TLS failed; check property.ssl.ca.location, and that the listener speaks TLS"),
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
            (ErrorKind::Unavailable, "it does not exist; was it deleted? It is made again where create_topics allows it")
        }
        Code::MessageSizeTooLarge | Code::InvalidMessageSize => {
            (ErrorKind::Invalid, "a delivery of some 100 bytes is too large for it; raise its max.message.bytes")
        }
        Code::InvalidTimestamp => (
            ErrorKind::Invalid,
            "it takes the sender's time, and refuses one that differs; set its message.timestamp.type to LogAppendTime",
        ),
        Code::NotEnoughReplicas | Code::NotEnoughReplicasAfterAppend => {
            (ErrorKind::Unavailable, "fewer copies are in sync than min.insync.replicas asks for; are brokers down?")
        }
        Code::QueueFull => (ErrorKind::Unavailable, "no broker takes what waits in this process (queue.buffering.max.messages)"),
        Code::KafkaStorageError => (ErrorKind::Full, "the broker can not write to its disk"),
        Code::PolicyViolation | Code::InvalidReplicationFactor | Code::InvalidPartitions | Code::InvalidConfig => {
            (ErrorKind::Invalid, "the cluster refuses these settings; check the options replication, min_insync and partitions")
        }
        Code::InvalidTopic => {
            (ErrorKind::Invalid, "the cluster refuses this name; does another differ from it by a dot and an underscore alone?")
        }
        Code::InconsistentGroupProtocol => {
            (ErrorKind::Invalid, "other members of the group share by another strategy; all of a namespace have one group_protocol")
        }
        Code::UnsupportedFeature | Code::UnsupportedVersion => {
            (ErrorKind::Unsupported, "the broker is too old for it; group_protocol=consumer needs Kafka 4.0")
        }
        Code::InvalidArgument => (ErrorKind::Invalid, "check the options"),
        _ => (ErrorKind::Unavailable, "are its brokers running, and can they be reached at the addresses that they advertise?"),
    }
}

/// The error code, or a transport failure's.
pub(crate) fn code(error: &KafkaError) -> Code {
    match error {
        // The binding knows no code of this one.
        KafkaError::AdminOp(code) => *code,
        _ => error.rdkafka_error_code().unwrap_or(Code::Fail),
    }
}

/// Reads an error.
pub(crate) fn of(at: At<'_>, error: &KafkaError, applied: Applied) -> Error {
    let code = code(error);
    let (kind, advice) = match error {
        KafkaError::ClientConfig(..) => (ErrorKind::Invalid, "check the properties"),
        _ => judged(code),
    };
    let out = Error::new(kind, at.op, format!("{} at kafka {}: {advice}", at.what, at.brokers)).with_source(error.to_string());
    let answered = matches!(code, Code::QueueFull | Code::NotEnoughReplicas | Code::UnknownTopicOrPartition | Code::UnknownTopic);
    if applied == Applied::Perhaps && !answered && kind == ErrorKind::Unavailable { out.with_outcome_unknown() } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(code: Code, applied: Applied) -> Error {
        of(At { op: "push deliveries", brokers: "h:1", what: "topic t" }, &KafkaError::MessageProduction(code), applied)
    }

    #[test]
    fn an_error_names_the_topic_and_what_to_do() {
        let error = read(Code::NotEnoughReplicas, Applied::Perhaps);
        let text = error.to_string();
        assert!(text.starts_with("push deliveries: topic t at kafka h:1: fewer copies are in sync"), "{text}");
        assert_eq!((error.kind(), error.outcome_unknown()), (ErrorKind::Unavailable, false));
    }

    #[test]
    fn only_what_nobody_answered_may_have_been_applied() {
        assert!(read(Code::MessageTimedOut, Applied::Perhaps).outcome_unknown());
        assert!(!read(Code::MessageTimedOut, Applied::No).outcome_unknown());
        assert!(!read(Code::MessageSizeTooLarge, Applied::Perhaps).is_transient(), "sending it again does not help");
        assert!(read(Code::UnknownTopicOrPartition, Applied::Perhaps).is_transient(), "it is made again");
    }

    #[test]
    fn a_missing_right_is_said_in_words_and_does_not_pass() {
        for code in [Code::TopicAuthorizationFailed, Code::GroupAuthorizationFailed, Code::ClusterAuthorizationFailed] {
            let error = read(code, Applied::Perhaps);
            assert!(error.to_string().contains("need") && !error.is_transient(), "{error}");
        }
    }
}
