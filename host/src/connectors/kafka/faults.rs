//! What librdkafka reports, as faults that say what to do.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::model::fault::Fault;

use super::client::Context;
use super::partitions::Partition;

/// What went wrong with `what` (such as ``topic `clicks` ``) at `brokers`.
pub fn fault(what: &str, brokers: &str, error: &KafkaError, context: &Context) -> Fault {
    let said = context.news().map_or(String::new(), |news| format!(" ({news})"));
    let reason = reason(error);
    match error.rdkafka_error_code() {
        Some(
            Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::OperationTimedOut
            | Code::RequestTimedOut
            | Code::Resolve
            | Code::BrokerNotAvailable,
        ) => match context.refusal() {
            // No broker has let the question in, until its time was over.
            Some(refusal) => refused(what, brokers, &refusal),
            None => Fault::unavailable(format!(
                "{what}: no broker of `{brokers}` answers: {reason}{said}; check `brokers`, the network, and whether the \
                 properties are those of this listener (TLS, SASL)"
            )),
        },
        Some(code) if is_refusal(code) => refused(what, brokers, &context.refusal().unwrap_or(reason)),
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition) => {
            Fault::invalid(format!("{what} does not exist at `{brokers}`: create it, or correct its name"))
        }
        Some(
            Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed,
        ) => Fault::invalid(format!(
            "{what}: the cluster at `{brokers}` does not allow it: {reason}{said}; give the user of `properties` the \
             right to it"
        )),
        Some(Code::MessageSizeTooLarge | Code::InvalidMessageSize) => Fault::invalid(format!(
            "{what}: {reason}; raise `message.max.bytes` of the topic and in `properties`, or write smaller rows"
        )),
        _ => Fault::unavailable(format!("{what}: {reason}{said}")),
    }
}

fn refused(what: &str, brokers: &str, refusal: &str) -> Fault {
    Fault::invalid(format!(
        "{what}: the cluster at `{brokers}` does not let this client in: {refusal}; correct the credentials and the \
         certificates of `properties`"
    ))
}

/// Whether the code says that a broker does not let a client in, by SASL or by TLS.
pub fn is_refusal(code: Code) -> bool {
    matches!(code, Code::Authentication | Code::SaslAuthenticationFailed | Code::SSL)
}

/// The offset at which a partition is to be read is not in it.
pub fn no_offset(partition: &Partition, brokers: &str, offset: i64) -> Fault {
    Fault::invalid(format!(
        "partition `{partition}` at `{brokers}` has no offset {offset} any more: messages were deleted before they were \
         read (`retention.ms`, `retention.bytes`), or the topic was made anew; to go on without them, start the job \
         afresh with start = \"earliest\""
    ))
}

/// Whether librdkafka goes on by itself: it connects again, and asks again, for as long as it takes.
pub fn is_transient(error: &KafkaError) -> bool {
    !matches!(error, KafkaError::MessageConsumptionFatal(_))
        && matches!(
            error.rdkafka_error_code(),
            Some(
                Code::BrokerTransportFailure
                    | Code::AllBrokersDown
                    | Code::OperationTimedOut
                    | Code::RequestTimedOut
                    | Code::Resolve
                    | Code::BrokerNotAvailable
                    | Code::LeaderNotAvailable
                    | Code::NotLeaderForPartition
                    | Code::CoordinatorLoadInProgress
                    | Code::CoordinatorNotAvailable
                    | Code::NotCoordinator
                    | Code::KafkaStorageError
            )
        )
}

/// Whether it may be a matter of a moment: the partition has no leader yet, or its leader has not heard of it.
pub fn has_no_leader(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(Code::LeaderNotAvailable | Code::NotLeaderForPartition | Code::UnknownTopicOrPartition)
    )
}

/// Kafka's own words, without the name of librdkafka's function.
pub fn reason(error: &KafkaError) -> String {
    match (error, error.rdkafka_error_code()) {
        (KafkaError::ClientCreation(why) | KafkaError::Subscription(why), _) => why.clone(),
        (KafkaError::Transaction(error), _) => error.string(),
        (_, Some(code)) => {
            let text = code.to_string();
            text.split_once(" (").map_or(text.as_str(), |(_, words)| words.trim_end_matches(')')).to_owned()
        }
        _ => error.to_string(),
    }
}
