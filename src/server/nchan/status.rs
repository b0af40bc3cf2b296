//! `nchan_stub_status` (nhpm-nchan.md, section 2.10).

use crate::server::access::grant::{Action, ChannelFacts, Grant, may};
use crate::server::broker::Broker;
use crate::server::exchange::response::{HeaderList, Response, Status};
use crate::server::nchan;

/// The statistics of the server. Fields that do not apply to pushctl (Redis, worker processes) are
/// zero.
#[must_use]
pub fn respond(grant: Grant, broker: &Broker) -> Response {
    if may(&grant, Action::List, &ChannelFacts::of_name(broker, b"")).is_err() {
        return nchan::empty(Status::FORBIDDEN);
    }
    let summary = broker.counters().summary();
    let kibibytes = |bytes: u64| bytes.div_ceil(1024);
    let subscribers: u64 = summary.shards.iter().map(|shard| shard.subscribers).sum();
    let lines = [
        ("total published messages", summary.published.to_string()),
        ("stored messages", summary.stored.to_string()),
        (
            "shared memory used",
            format!("{}K", kibibytes(broker.counters().memory_used())),
        ),
        (
            "shared memory limit",
            format!("{}K", kibibytes(broker.settings().shared_memory_size)),
        ),
        (
            "channels",
            (summary.channels + summary.wildcard_channels).to_string(),
        ),
        ("subscribers", subscribers.to_string()),
        ("redis pending commands", "0".to_owned()),
        ("redis connected servers", "0".to_owned()),
        ("redis unhealthy upstreams", "0".to_owned()),
        ("total redis commands sent", "0".to_owned()),
        ("total interprocess alerts received", "0".to_owned()),
        ("interprocess alerts in transit", "0".to_owned()),
        ("interprocess queued alerts", "0".to_owned()),
        ("total interprocess send delay", "0".to_owned()),
        ("total interprocess receive delay", "0".to_owned()),
        ("nchan version", "1.3.7".to_owned()),
    ];
    let body: String = lines
        .iter()
        .map(|(name, value)| format!("{name}: {value}\n"))
        .collect();
    Response::sized(
        Status::OK,
        "text/plain",
        HeaderList::default(),
        body.into_bytes(),
    )
}
