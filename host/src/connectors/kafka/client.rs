//! How a client of librdkafka is made, and what it says about itself.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::producer::ProducerContext;
use rdkafka::statistics::Statistics;

use crate::model::fault::Fault;
use crate::plan::connector::{KafkaCluster, KafkaSource};

use super::faults::{is_refusal, reason};

pub type Consumer = BaseConsumer<Context>;

/// How long brokers may take to answer a question about topics, partitions or offsets.
pub const ANSWER: Duration = Duration::from_secs(10);

/// librdkafka waits this long before it fetches more of a partition whose buffer was full (a second, unless told).
const REFILL_MILLIS: &str = "5";
/// Messages of one partition that are buffered at most: each takes memory beside its bytes.
const PREFETCH_MESSAGES: &str = "20000";
/// How often the ends of partitions are noted, for the lag.
const STATISTICS_MILLIS: &str = "1000";

/// How long to wait for a client's reasons after it has failed.
const NEWS: Duration = Duration::from_millis(50);

/// Without a group of the user's. A client that assigns partitions itself must name one, but is not seen in it.
pub const NO_GROUP: &str = "wasmill";

/// A setting of librdkafka.
pub type Property<'a> = (&'a str, &'a str);

/// Listens to a client. librdkafka calls it from whichever thread polls.
#[derive(Default)]
pub struct Context {
    /// The last bad news, for the message of what fails next.
    news: Mutex<Option<String>>,
    /// Why a broker does not let this client in.
    refusal: Mutex<Option<String>>,
    /// The first message that could not be delivered, and why.
    undelivered: Mutex<Option<String>>,
    /// The ends of partitions, by topic and number.
    ends: Mutex<HashMap<(String, i32), Arc<AtomicI64>>>,
}

impl Context {
    /// The last bad news, for the message about a failure.
    pub fn news(&self) -> Option<String> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why a broker does not let this client in: waiting does not mend it, though librdkafka tries again for ever.
    pub fn refusal(&self) -> Option<String> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Once there is one, the producer must not be used any more: what came after it may have been delivered.
    pub fn undelivered(&self) -> Option<String> {
        self.undelivered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where a partition ends, as far as it is known: about a second old, and negative before that.
    pub fn end_of(&self, topic: &str, partition: i32) -> Arc<AtomicI64> {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(ends.entry((topic.to_owned(), partition)).or_insert_with(|| Arc::new(AtomicI64::new(-1))))
    }

    fn note(&self, news: String) {
        *self.news.lock().unwrap_or_else(PoisonError::into_inner) = Some(news);
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug | RDKafkaLogLevel::Notice => {
                tracing::debug!("librdkafka: {facility}: {message}");
            }
            // The last transaction of this id is being finished: the next one waits for it.
            RDKafkaLogLevel::Warning if facility == "GETPID" => tracing::debug!("librdkafka: {facility}: {message}"),
            _ => {
                tracing::warn!("librdkafka: {facility}: {message}");
                self.note(message.to_owned());
            }
        }
    }

    fn error(&self, error: KafkaError, why: &str) {
        tracing::debug!("librdkafka: {error}: {why}");
        if error.rdkafka_error_code().is_some_and(is_refusal) {
            *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.to_owned());
        }
        // Why the last of them went down was said before.
        let is_news = !matches!(
            error.rdkafka_error_code(),
            Some(RDKafkaErrorCode::PartitionEOF | RDKafkaErrorCode::AllBrokersDown)
        );
        if is_news {
            self.note(why.to_owned());
        }
    }

    fn stats(&self, statistics: Statistics) {
        for ((topic, number), end) in self.ends.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let partition = statistics.topics.get(topic).and_then(|topic| topic.partitions.get(number));
            if let Some(partition) = partition {
                // Behind the last stable offset there is nothing to read yet.
                let stable = if partition.ls_offset >= 0 { partition.ls_offset } else { partition.hi_offset };
                end.store(stable, Relaxed);
            }
        }
    }
}

impl ConsumerContext for Context {}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, delivered: &Result<BorrowedMessage<'_>, (KafkaError, BorrowedMessage<'_>)>, _: ()) {
        let Err((error, message)) = delivered else { return };
        let mut first = self.undelivered.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| {
            let partition = match message.partition() {
                partition if partition >= 0 => format!(", partition {partition}"),
                _ => String::new(),
            };
            format!("topic `{}`{partition}: {}", message.topic(), reason(error))
        });
    }
}

/// A consumer of the source's topics, to which no partition is assigned yet.
pub fn consumer(source: &KafkaSource) -> Result<Consumer, Fault> {
    let prefetch_kbytes = (source.prefetch_bytes_max >> 10).to_string();
    let mut config =
        config(&source.cluster, &[("isolation.level", "read_committed"), ("fetch.queue.backoff.ms", REFILL_MILLIS)])?;
    let own = [
        ("group.id", source.group.as_deref().unwrap_or(NO_GROUP)),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        // An offset that is not there is a fault, not a reason to go somewhere else.
        ("auto.offset.reset", "error"),
        ("enable.partition.eof", if source.bounded { "true" } else { "false" }),
        ("allow.auto.create.topics", "false"),
        ("queued.max.messages.kbytes", prefetch_kbytes.as_str()),
        ("queued.min.messages", PREFETCH_MESSAGES),
        ("statistics.interval.ms", STATISTICS_MILLIS),
    ];
    set_all(&mut config, &own);
    create(&config)
}

/// What a consumer has to say about a question that has failed: all that waits in its queue, or is on its way there.
pub fn reasons(consumer: &Consumer) -> &Context {
    let deadline = Instant::now() + NEWS;
    while Instant::now() < deadline {
        if consumer.poll(Duration::from_millis(1)).is_none() && consumer.context().news().is_some() {
            break;
        }
    }
    consumer.context()
}

/// The settings of a client: `defaults`, which the user's properties may change, and where the cluster is.
pub fn config(cluster: &KafkaCluster, defaults: &[Property]) -> Result<ClientConfig, Fault> {
    let mut config = ClientConfig::new();
    config.set("client.id", "wasmill").set_log_level(RDKafkaLogLevel::Info);
    set_all(&mut config, defaults);
    for (name, value) in &cluster.properties {
        let value = with_environment(value).map_err(|error| Fault::invalid(format!("property `{name}`: {error}")))?;
        config.set(name, value);
    }
    config.set("bootstrap.servers", &cluster.brokers);
    Ok(config)
}

pub fn set_all(config: &mut ClientConfig, properties: &[Property]) {
    for (name, value) in properties {
        config.set(*name, *value);
    }
}

/// The error names the setting, and never its value: that may be a secret.
pub fn create<T: FromClientConfigAndContext<Context>>(config: &ClientConfig) -> Result<T, Fault> {
    config.create_with_context(Context::default()).map_err(|error| match error {
        KafkaError::ClientConfig(_, why, name, _) => {
            Fault::invalid(format!("property `{name}` is not accepted: {why}"))
        }
        error => Fault::invalid(format!("these properties make no client of Kafka: {}", reason(&error))),
    })
}

/// `${NAME}` replaced by variables of the environment.
fn with_environment(text: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, from) = rest.split_at(start);
        let end = from.find('}').ok_or("`${` has no `}` behind it")?;
        let name = &from[2..end];
        out.push_str(before);
        out.push_str(&std::env::var(name).map_err(|_| format!("the environment has no variable `{name}`"))?);
        rest = &from[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn cluster(name: &str, value: &str) -> KafkaCluster {
        let properties = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        KafkaCluster { brokers: "127.0.0.1:1".to_owned(), properties }
    }

    #[test]
    fn secrets_come_from_the_environment_and_stay_out_of_messages() {
        let path = std::env::var("PATH").unwrap();
        assert_eq!(with_environment("a${PATH}b").unwrap(), format!("a{path}b"));
        assert_eq!(with_environment("plain $ {x}").unwrap(), "plain $ {x}");
        assert!(with_environment("${NO_SUCH_VARIABLE_OF_WASMILL}").unwrap_err().contains("NO_SUCH_VARIABLE"));
        assert!(with_environment("${PATH").is_err());

        let config = config(&cluster("sasl.mechanism.x", "secret"), &[]).unwrap();
        let fault = create::<Consumer>(&config).err().unwrap().message;
        assert!(fault.contains("`sasl.mechanism.x`") && !fault.contains("secret"), "{fault}");
    }

    #[test]
    fn properties_change_defaults_but_not_what_is_ours() {
        let config = config(&cluster("isolation.level", "read_uncommitted"), &[("isolation.level", "x")]).unwrap();
        assert_eq!(config.get("isolation.level"), Some("read_uncommitted"));
        assert_eq!(config.get("bootstrap.servers"), Some("127.0.0.1:1"));
    }
}
