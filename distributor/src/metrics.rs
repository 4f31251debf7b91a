//! What the distributor counts, as Prometheus text.
//!
//! Counters are kept where the thing happens. Gauges that the hub knows anyway are set when
//! somebody asks, from one look at it: they cannot drift.

use std::{fmt, sync::Arc, time::Duration};

use freshet_protocol::doors::groups::Received;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

/// Upper ends of the buckets that ages are counted in: from a process beside this one to a source that
/// catches up after an outage.
const AGE_SECONDS: [f64; 13] =
    [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 10.0, 60.0];

/// Counts how old bytes are. Cheap to clone; every clone counts in the same place.
#[derive(Clone)]
pub(crate) struct Ages(Histogram);

impl Default for Ages {
    fn default() -> Self {
        Self(Histogram::new(AGE_SECONDS))
    }
}

impl Ages {
    pub(crate) fn note(&self, age: Duration) {
        self.0.observe(age.as_secs_f64());
    }

    fn register(&self, registry: &mut Registry, name: &str, help: &str) {
        registry.register_with_unit(name, help, Unit::Seconds, self.0.clone());
    }
}

impl fmt::Debug for Ages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ages").finish_non_exhaustive()
    }
}

/// All counters of one distributor. Cheap to clone; every clone counts in the same place.
#[derive(Clone)]
pub(crate) struct Metrics {
    registry: Arc<Registry>,
    /// Failed accepts.
    pub(crate) accept_errors: Counter,
    /// Bytes received over all sockets.
    pub(crate) received: Counter,
    /// Bytes sent over all sockets.
    pub(crate) sent: Counter,
    /// Those of them that the kernel sent out of its own memory of the disk copy.
    pub(crate) stored_sent: Counter,
    /// Connections cut because their peer took no byte for too long.
    pub(crate) stalled: Counter,
    /// Chunks refused because they differ from what is held.
    pub(crate) conflicts: Counter,
    /// Deliveries that were cut, by us, before their stream ended.
    pub(crate) cuts: Counter,
    capture_to_ingest: Ages,
    /// Questions put to other distributors.
    pub(crate) upstream_requests: Counter,
    /// Those that brought no stream, and deliveries that were cut.
    pub(crate) upstream_errors: Counter,
    /// Streams that went on from another distributor than before.
    pub(crate) failovers: Counter,
    /// Bytes of streams that came from other distributors.
    pub(crate) pulled: Counter,
    pulls: Gauge,
    connections: Gauge,
    at_the_edge: Gauge,
    accepted: Counter,
    requests: Family<RequestLabels, Counter>,
    streams: Gauge,
    consumers: Gauge,
    held_bytes: Gauge,
    memory_bytes: Gauge,
    quarantined: Counter,
    retained_away: Counter,
    disk_errors: Counter,
    poisoned: Counter,
    door_sessions: Family<DoorLabels, Gauge>,
    door_accepted: Family<DoorLabels, Counter>,
    door_received: Family<DoorLabels, Counter>,
    door_sent: Family<DoorLabels, Counter>,
    door_errors: Family<DoorLabels, Counter>,
    door_data_ports: Gauge,
    groups: GroupMetrics,
}

/// What all groups count together.
#[derive(Clone, Debug)]
pub(crate) struct GroupMetrics {
    open: Gauge,
    /// Datagrams of movies, each time that one was sent to a member.
    pub(crate) sent: Counter,
    lost: Counter,
    out_of_order: Counter,
    late: Counter,
    duplicate: Counter,
}

/// What one door counts. Cheap to clone; every clone counts in the same place.
#[derive(Clone, Debug)]
pub(crate) struct DoorMetrics {
    sessions: Gauge,
    accepted: Counter,
    data_ports: Gauge,
    /// Bytes received over its sockets.
    pub(crate) received: Counter,
    /// Bytes sent over its sockets.
    pub(crate) sent: Counter,
    /// Messages that meant nothing, or asked for what is not there or not allowed.
    pub(crate) errors: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DoorLabels {
    door: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    status: u16,
}

/// What the hub holds at the moment, and what has happened to it so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holdings {
    /// Streams.
    pub(crate) streams: usize,
    /// Deliveries that follow one.
    pub(crate) consumers: u64,
    /// Bytes acknowledged.
    pub(crate) bytes: u64,
    /// Bytes of memory that the rings take.
    pub(crate) memory_bytes: u64,
    /// Bytes found damaged on the disk.
    pub(crate) quarantined_bytes: u64,
    /// Bytes that retention let go.
    pub(crate) retained_away_bytes: u64,
    /// Reads and writes that the disk failed.
    pub(crate) disk_errors: u64,
    /// Times that a sync failed and a stream was reopened.
    pub(crate) poisoned: u64,
}

/// Counts one thing that is open until dropped.
#[derive(Debug)]
pub(crate) struct Counted(Gauge);

impl Metrics {
    /// Everything at zero, but for `ingest_to_send`, which the store counts.
    pub(crate) fn new(ingest_to_send: &Ages) -> Self {
        let mut all = Registry::with_prefix("freshet");
        let r = &mut all;
        let bytes = Some(Unit::Bytes);
        let capture_to_ingest = Ages::default();
        let help = "From the capture of a chunk to its first bytes here";
        capture_to_ingest.register(r, "capture_to_ingest", help);
        let help =
            "From the arrival of bytes to their sending, each time that there are newer ones";
        ingest_to_send.register(r, "ingest_to_send", help);
        Self {
            capture_to_ingest,
            accept_errors: new(r, "accept_errors", "Failed accepts", None),
            received: new(r, "received", "Received over all sockets", bytes.clone()),
            sent: new(r, "sent", "Sent over all sockets", bytes.clone()),
            stored_sent: new(
                r,
                "stored_sent",
                "Sent by the kernel out of its own memory of the disk copy",
                bytes.clone(),
            ),
            stalled: new(r, "stalled_writes", "Connections cut: no byte taken for too long", None),
            conflicts: new(r, "conflicts", "Chunks refused: they differ from what is held", None),
            cuts: new(r, "cut_deliveries", "Deliveries cut before their stream ended", None),
            upstream_requests: new(r, "upstream_requests", "Questions put upstream", None),
            upstream_errors: new(r, "upstream_errors", "Failures and cuts upstream", None),
            failovers: new(
                r,
                "upstream_failovers",
                "Pulls that went on from another upstream",
                None,
            ),
            pulled: new(r, "pulled", "Came from upstream", bytes.clone()),
            pulls: new(r, "pulls", "Streams asked for upstream now", None),
            connections: new(r, "connections", "Connections open now", None),
            at_the_edge: new(
                r,
                "consumers_at_the_edge",
                "Deliveries that have all there is, and are written to as bytes come",
                None,
            ),
            accepted: new(r, "connections_accepted", "Connections accepted", None),
            requests: new(r, "requests", "Requests answered", None),
            streams: new(r, "streams", "Streams held", None),
            consumers: new(r, "consumers", "Deliveries that follow a stream now", None),
            held_bytes: new(r, "held", "Acknowledged of all streams", bytes.clone()),
            memory_bytes: new(r, "memory", "Memory that the rings take", bytes.clone()),
            quarantined: new(r, "quarantined", "Found damaged on the disk", bytes.clone()),
            retained_away: new(r, "retained_away", "Let go by retention", bytes.clone()),
            disk_errors: new(r, "disk_errors", "Reads and writes that the disk failed", None),
            poisoned: new(r, "poisoned", "Streams reopened after a failed sync", None),
            door_sessions: new(r, "door_sessions", "Sessions open now", None),
            door_accepted: new(r, "door_sessions_accepted", "Sessions accepted", None),
            door_received: new(r, "door_received", "Received at a door", bytes.clone()),
            door_sent: new(r, "door_sent", "Sent at a door", bytes),
            door_errors: new(r, "door_errors", "Messages refused or left out", None),
            door_data_ports: new(r, "door_data_ports", "Data ports in use now", None),
            groups: GroupMetrics {
                open: new(r, "groups", "Groups now", None),
                sent: new(r, "group_sent", "Datagrams of movies sent", None),
                lost: new(r, "group_lost", "Datagrams lost, as members say", None),
                out_of_order: new(r, "group_out_of_order", "Datagrams out of order", None),
                late: new(r, "group_late", "Datagrams that came too late", None),
                duplicate: new(r, "group_duplicate", "Datagrams that came twice", None),
            },
            registry: Arc::new(all),
        }
    }

    /// The counters of a door.
    pub(crate) fn door(&self, door: &'static str) -> DoorMetrics {
        let labels = DoorLabels { door };
        DoorMetrics {
            sessions: self.door_sessions.get_or_create_owned(&labels),
            accepted: self.door_accepted.get_or_create_owned(&labels),
            data_ports: self.door_data_ports.clone(),
            received: self.door_received.get_or_create_owned(&labels),
            sent: self.door_sent.get_or_create_owned(&labels),
            errors: self.door_errors.get_or_create_owned(&labels),
        }
    }

    /// What groups count.
    pub(crate) fn groups(&self) -> GroupMetrics {
        self.groups.clone()
    }

    /// Count a connection for as long as the result lives.
    pub(crate) fn connection(&self) -> Counted {
        self.accepted.inc();
        self.connections.inc();
        Counted(self.connections.clone())
    }

    /// Count a delivery at the live edge for as long as the result lives.
    pub(crate) fn at_the_edge(&self) -> Counted {
        self.at_the_edge.inc();
        Counted(self.at_the_edge.clone())
    }

    /// Count a stream that is asked for upstream for as long as the result lives.
    pub(crate) fn pull(&self) -> Counted {
        self.pulls.inc();
        Counted(self.pulls.clone())
    }

    /// Note how old the first bytes of a chunk were when they came in.
    pub(crate) fn came_in(&self, age: Duration) {
        self.capture_to_ingest.note(age);
    }

    /// Count a request that was answered.
    pub(crate) fn request(&self, method: &str, status: u16) {
        let labels = RequestLabels { method: known(method), status };
        self.requests.get_or_create(&labels).inc();
    }

    /// Everything, as Prometheus text.
    pub(crate) fn text(&self, now: Holdings) -> String {
        let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.streams.set(gauge(now.streams as u64));
        self.consumers.set(gauge(now.consumers));
        self.held_bytes.set(gauge(now.bytes));
        self.memory_bytes.set(gauge(now.memory_bytes));
        catch_up(&self.quarantined, now.quarantined_bytes);
        catch_up(&self.retained_away, now.retained_away_bytes);
        catch_up(&self.disk_errors, now.disk_errors);
        catch_up(&self.poisoned, now.poisoned);
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

impl GroupMetrics {
    /// Count a group for as long as the result lives.
    pub(crate) fn group(&self) -> Counted {
        self.open.inc();
        Counted(self.open.clone())
    }

    /// A member has counted so much, and so much before.
    pub(crate) fn report(&self, before: Received, now: Received) {
        for (counter, before, now) in [
            (&self.lost, before.lost, now.lost),
            (&self.out_of_order, before.out_of_order, now.out_of_order),
            (&self.late, before.late, now.late),
            (&self.duplicate, before.duplicate, now.duplicate),
        ] {
            counter.inc_by(now.saturating_sub(before).into());
        }
    }
}

impl DoorMetrics {
    /// Count a session for as long as the result lives.
    pub(crate) fn session(&self) -> Counted {
        self.accepted.inc();
        self.sessions.inc();
        Counted(self.sessions.clone())
    }

    /// Count a data port for as long as the result lives.
    pub(crate) fn data_port(&self) -> Counted {
        self.data_ports.inc();
        Counted(self.data_ports.clone())
    }
}

/// A metric of its own, registered.
fn new<M>(registry: &mut Registry, name: &str, help: &str, unit: Option<Unit>) -> M
where
    M: Clone + Default + prometheus_client::registry::Metric,
{
    let metric = M::default();
    match unit {
        Some(unit) => registry.register_with_unit(name, help, unit, metric.clone()),
        None => registry.register(name, help, metric.clone()),
    }
    metric
}

/// Bring a counter that is kept elsewhere up to what it is there.
fn catch_up(counter: &Counter, count: u64) {
    counter.inc_by(count.saturating_sub(counter.get()));
}

/// A method of ours by name, any other as one: a peer must not make us a counter for each it thinks of.
fn known(method: &str) -> &'static str {
    let ours = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE"];
    ours.into_iter().find(|one| *one == method).unwrap_or("other")
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_printed() {
        let sent = Ages::default();
        let metrics = Metrics::new(&sent);
        sent.note(Duration::from_millis(30));
        let open = metrics.connection();
        metrics.request("GET", 206);
        metrics.request("BREW", 405);
        metrics.sent.inc_by(7);
        metrics.came_in(Duration::from_millis(3));

        let text =
            metrics.text(Holdings { streams: 3, bytes: 9, poisoned: 1, ..Holdings::default() });

        for line in [
            "freshet_connections 1\n",
            "freshet_requests_total{method=\"GET\",status=\"206\"} 1\n",
            "freshet_requests_total{method=\"other\",status=\"405\"} 1\n",
            "freshet_sent_bytes_total 7\n",
            "freshet_capture_to_ingest_seconds_bucket{le=\"0.002\"} 0\n",
            "freshet_capture_to_ingest_seconds_bucket{le=\"0.005\"} 1\n",
            "freshet_ingest_to_send_seconds_bucket{le=\"0.02\"} 0\n",
            "freshet_ingest_to_send_seconds_bucket{le=\"0.05\"} 1\n",
            "freshet_streams 3\n",
            "freshet_held_bytes 9\n",
            "freshet_poisoned_total 1\n",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        drop(open);
        assert!(metrics.text(Holdings::default()).contains("freshet_connections 0\n"));
    }
}
