//! How durations of every job are recorded.

use std::sync::OnceLock;

use opentelemetry::KeyValue;
use opentelemetry::metrics::Histogram;

/// Records a duration, in seconds.
pub type Recorder = Box<dyn Fn(f64) + Send + Sync>;

/// Ties a distribution to attributes that stay the same.
pub type Bind = fn(&Histogram<f64>, &[KeyValue]) -> Recorder;

static BIND: OnceLock<Bind> = OnceLock::new();

/// Sets how distributions are tied to the attributes `queue` and `task`, before the first job; the first one stays. Until then each value is
/// recorded with its attributes, which an SDK has to look up.
///
/// Not every SDK can bind, and one that can not drops what it is given that way: so whoever brings the SDK says so.
pub fn bind_durations(bind: Bind) {
    BIND.get_or_init(|| bind);
}

/// Records into this distribution with these attributes.
pub(super) fn bound(histogram: &Histogram<f64>, attributes: &[KeyValue]) -> Recorder {
    if let Some(bind) = BIND.get() {
        return bind(histogram, attributes);
    }
    let (histogram, attributes) = (histogram.clone(), attributes.to_vec());
    Box::new(move |seconds| histogram.record(seconds, &attributes))
}
