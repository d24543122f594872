//! Names of topics and of the group, and which band a priority goes to.

use jobbers_core::QueueName;
use jobbers_core::record::Priority;

use crate::config::Config;

/// A queue's line in one band of priorities: one topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Line {
    pub(crate) queue: QueueName,
    pub(crate) band: u8,
}

impl Line {
    /// The topic. No name of ours holds an upper-case letter, so that `Q` ends the namespace, whatever dots are in it.
    pub(crate) fn topic(&self, config: &Config) -> String {
        format!("{}.{}.Q.{}.{}", config.prefix, config.namespace, self.queue, self.band)
    }

    /// The line whose topic has this name.
    pub(crate) fn of(topic: &str, config: &Config) -> Option<Line> {
        let rest = topic.strip_prefix(&start(config))?;
        let (queue, band) = rest.rsplit_once('.')?;
        Some(Line { queue: QueueName::new(queue).ok()?, band: band.parse().ok().filter(|band| *band < config.bands)? })
    }
}

/// What the names of a namespace's topics start with.
pub(crate) fn start(config: &Config) -> String {
    format!("{}.{}.Q.", config.prefix, config.namespace)
}

/// The consumer group: one for a namespace, in which each worker subscribes to its own queues.
pub(crate) fn group(config: &Config) -> String {
    format!("{}.{}", config.prefix, config.namespace)
}

/// The band of a priority; 0 is the most urgent.
pub(crate) fn band_of(priority: Priority, config: &Config) -> u8 {
    let level = Priority::ALL.iter().position(|one| *one == priority).unwrap_or(0);
    u8::try_from(level * usize::from(config.bands) / Priority::ALL.len()).unwrap_or(0)
}

/// The lines of some queues: each queue's bands in their order.
pub(crate) fn lines<'a>(queues: impl IntoIterator<Item = &'a QueueName>, config: &Config) -> Vec<Line> {
    let bands = config.bands;
    queues.into_iter().flat_map(|queue| (0..bands).map(move |band| Line { queue: queue.clone(), band })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_names_one_line_of_one_namespace() {
        let config = Config { bands: 4, namespace: jobbers_core::Namespace::new("a.q.b").unwrap(), ..Config::default() };
        let line = Line { queue: QueueName::new("c").unwrap(), band: 3 };
        assert_eq!(line.topic(&config), "jobbers.a.q.b.Q.c.3");
        assert_eq!(Line::of("jobbers.a.q.b.Q.c.3", &config), Some(line.clone()));
        let mut other = config.clone();
        other.namespace = jobbers_core::Namespace::new("a").unwrap();
        let queue = QueueName::new("b.q.c").unwrap();
        assert_ne!(Line { queue, band: 3 }.topic(&other), line.topic(&config), "dots in names make no two names one");
        for foreign in ["jobbers.a.q.b.Q.c.4", "jobbers.a.q.b.Q.c", "jobbers.a.q.b.c.3", "other"] {
            assert_eq!(Line::of(foreign, &config), None, "{foreign}");
        }
    }

    #[test]
    fn bands_share_the_four_levels_of_priority() {
        let bands = |bands| {
            let config = Config { bands, ..Config::default() };
            Priority::ALL.map(|priority| band_of(priority, &config))
        };
        assert_eq!([bands(1), bands(2), bands(3), bands(4)], [[0; 4], [0, 0, 1, 1], [0, 0, 1, 2], [0, 1, 2, 3]]);
    }
}
