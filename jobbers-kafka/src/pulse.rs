//! What is wrong with the cluster just now, as its clients have noticed.

use std::sync::{Arc, Mutex, PoisonError};

use jobbers_core::{Error, ErrorKind};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::statistics::Statistics;
use rdkafka::{ClientContext, config::RDKafkaLogLevel};

use crate::fault;

/// Trouble that lasts until somebody sees that it is over; shared by all clients of a backend.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pulse(Arc<Mutex<Option<Trouble>>>);

#[derive(Debug, Clone)]
pub(crate) struct Trouble {
    pub(crate) kind: ErrorKind,
    pub(crate) text: String,
    pub(crate) of: Part,
}

/// In the text of a broker whose certificate is not trusted.
const DISTRUSTED: &str = "certificate verify failed";

/// What is in trouble, and thereby who sees that it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The brokers: a question that is answered ends it.
    Link,
    /// Reading in the group: a record that is read ends it, or a new subscription.
    Group,
}

impl Pulse {
    /// Something is wrong. What a user has to mend is not covered by what may pass.
    pub(crate) fn trouble(&self, of: Part, kind: ErrorKind, text: String) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *held {
            Some(known) if known.kind != ErrorKind::Unavailable && kind == ErrorKind::Unavailable => (),
            Some(known) if known.text == text => (),
            held => {
                tracing::warn!(%text, "kafka: trouble");
                *held = Some(Trouble { kind, text, of });
            }
        }
    }

    /// This part is well.
    pub(crate) fn well(&self, part: Part) {
        let over = self.0.lock().unwrap_or_else(PoisonError::into_inner).take_if(|trouble| trouble.of == part);
        if let Some(over) = over {
            tracing::info!(was = %over.text, "kafka: the trouble is over");
        }
    }

    pub(crate) fn current(&self) -> Option<Trouble> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The trouble, as the error of a call that it is in the way of.
    pub(crate) fn error(&self, op: &'static str, brokers: &str) -> Option<Error> {
        self.current().map(|trouble| Error::new(trouble.kind, op, format!("kafka {brokers}: {}", trouble.text)))
    }

    /// Notes an error that a client reports besides its calls. A single broker that is gone is none: others may do.
    pub(crate) fn hears(&self, of: Part, error: &KafkaError, reason: &str) {
        let code = fault::code(error);
        let lasting = fault::judged(code).0 != ErrorKind::Unavailable || code == Code::AllBrokersDown;
        if lasting {
            let (kind, advice) = fault::judged(code);
            self.trouble(of, kind, format!("{advice} ({reason})"));
        } else {
            tracing::debug!(%error, reason, "kafka: a client reports");
        }
    }
}

impl ClientContext for Pulse {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        // Retried by the library; what lasts is reported as an error as well, but this one as if the broker were gone.
        if text.contains(DISTRUSTED) {
            self.hears(Part::Link, &KafkaError::Global(Code::SSL), text);
        }
        tracing::debug!(?level, facility, text, "librdkafka");
    }

    fn stats(&self, _: Statistics) {}

    fn error(&self, error: KafkaError, reason: &str) {
        self.hears(Part::Link, &error, reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_broker_that_is_gone_is_no_trouble_and_all_of_them_are() {
        let pulse = Pulse::default();
        pulse.hears(Part::Link, &KafkaError::Global(Code::BrokerTransportFailure), "h:1 refused");
        assert!(pulse.current().is_none());
        pulse.hears(Part::Link, &KafkaError::Global(Code::AllBrokersDown), "1/1 brokers are down");
        let error = pulse.error("pull deliveries", "h:1").unwrap();
        assert!(error.is_transient() && error.to_string().contains("1/1 brokers are down"), "{error}");
        pulse.well(Part::Link);
        assert!(pulse.error("pull deliveries", "h:1").is_none());
    }

    #[test]
    fn a_certificate_that_is_not_trusted_is_for_the_user_to_mend() {
        let pulse = Pulse::default();
        pulse.log(RDKafkaLogLevel::Error, "FAIL", "h:1: SSL handshake failed: error:0A000086:SSL routines::certificate verify failed");
        let error = pulse.error("open", "h:1").unwrap();
        assert!(!error.is_transient() && error.to_string().contains("property.ssl.ca.location"), "{error}");
    }

    #[test]
    fn what_a_user_has_to_mend_stays_visible_beside_what_passes() {
        let pulse = Pulse::default();
        pulse.hears(Part::Link, &KafkaError::Global(Code::Authentication), "invalid credentials");
        pulse.hears(Part::Link, &KafkaError::Global(Code::AllBrokersDown), "1/1 brokers are down");
        let error = pulse.error("pull deliveries", "h:1").unwrap();
        assert!(!error.is_transient() && error.to_string().contains("check name, password"), "{error}");
    }
}
