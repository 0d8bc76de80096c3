//! The page of metrics: what the image and the system know already, read when it is asked for. docs/metrics.md names them all.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::admin::{Admin, feed_of};
use crate::domain::Timestamp;
use crate::domain::state::{FeedState, FeedStatus};
use crate::image::{Collection, Item, View};
use crate::telemetry::metrics::Exposition;

/// Collections with the names that they have in labels.
const COLLECTIONS: [(Collection, &str); 5] = [
    (Collection::Prices, "prices"),
    (Collection::Assets, "assets"),
    (Collection::Feeds, "feeds"),
    (Collection::LongShortRatios, "long_short"),
    (Collection::Indices, "indices"),
];

/// Linux counts processor time in hundredths of a second for programs, whatever its own clock is.
const TICKS_PER_SECOND: f64 = 100.0;

/// The page.
pub(super) fn page(admin: &Admin) -> String {
    let mut page = Exposition::default();
    let labels = [("version", env!("CARGO_PKG_VERSION")), ("role", admin.role)];
    page.gauge("crossmarket_build_info", "1, with what runs.", &labels, 1.0);
    page.gauge("crossmarket_simulated", "1 when the process runs on simulated venues.", &[], flag(admin.simulated));
    page.gauge("crossmarket_ready", "1 while /readyz answers 200.", &[], flag(admin.is_ready(false).is_ok()));
    process(&mut page, admin.started);
    leases(&mut page, admin);
    tls(&mut page, admin);
    image(&mut page, admin);
    feeds(&mut page, admin);
    page.into_text()
}

fn flag(is_set: bool) -> f64 {
    f64::from(u8::from(is_set))
}

/// The names that Prometheus's own client libraries use. What the system does not tell is absent.
fn process(page: &mut Exposition, started: Timestamp) {
    let start = started.as_micros() as f64 / 1e6;
    page.gauge("process_start_time_seconds", "When the process started, Unix time.", &[], start);
    let read = |name: &str| std::fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
    if let Some(seconds) = processor_seconds(&read("stat")) {
        page.counter_seconds("process_cpu_seconds_total", "Processor time, user and system.", &[], seconds);
    }
    if let Some(kilobytes) = number_after(&read("status"), "VmRSS:") {
        page.gauge("process_resident_memory_bytes", "Resident memory.", &[], kilobytes * 1_024.0);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        page.gauge("process_open_fds", "Open file descriptors.", &[], open.count() as f64);
    }
    if let Some(allowed) = number_after(&read("limits"), "Max open files") {
        page.gauge("process_max_fds", "File descriptors allowed.", &[], allowed);
    }
}

/// Of `/proc/self/stat`. The program's name stands in brackets and may hold anything.
fn processor_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<f64>().ok());
    Some((times.next()?? + times.next()??) / TICKS_PER_SECOND)
}

fn number_after(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

fn leases(page: &mut Exposition, admin: &Admin) {
    let Some(leading) = &admin.leading else { return };
    let held = leading.shards();
    for shard in admin.image.shards().all() {
        let help = "1 while this collector holds the shard's lease.";
        let labels = [("shard", &*shard.to_string())];
        page.gauge("crossmarket_lease_held", help, &labels, flag(held.contains(&shard)));
    }
}

fn tls(page: &mut Exposition, admin: &Admin) {
    let Some(status) = admin.tls.as_ref().map(|tls| tls.status()) else { return };
    let ends = [("server", Some(status.certificate_end)), ("client_ca", status.client_ca_end)];
    for (certificate, end) in ends {
        if let Some(end) = end {
            let help = "When the certificate ends, Unix time.";
            let name = "crossmarket_tls_certificate_expiry_timestamp_seconds";
            page.gauge(name, help, &[("certificate", certificate)], end as f64);
        }
    }
    for (outcome, count) in [("ok", status.reloaded_count), ("failed", status.refused_count)] {
        let help = "Certificate files read anew.";
        page.counter("crossmarket_tls_reloads_total", help, &[("outcome", outcome)], count);
    }
}

fn image(page: &mut Exposition, admin: &Admin) {
    let image = &admin.image;
    let collections = COLLECTIONS.map(|(collection, name)| (image.select(collection, |_| true), name));
    for (items, name) in &collections {
        page.gauge("crossmarket_image_keys", "Keys in the image.", &[("collection", name)], items.len() as f64);
    }
    let len = |item: &Arc<Item>| item.entry(View::Basic).len() + item.entry(View::Full).len();
    let bytes: usize = collections.iter().flat_map(|(items, _)| items).map(len).sum();
    page.gauge("crossmarket_image_bytes", "Encoded entries held, in bytes.", &[], bytes as f64);
    let prices = collections.first().map_or(0, |(items, _)| items.len());
    page.gauge("crossmarket_image_prices", "Assets with a price snapshot in the live image.", &[], prices as f64);
    let fresh = image.fresh_price_count() as f64;
    page.gauge("crossmarket_image_prices_fresh", "Those within their freshness budget.", &[], fresh);

    let shards: Vec<_> = image.shards().all().map(|shard| (shard.to_string(), image.position(shard))).collect();
    for (shard, position) in &shards {
        let help = "1 when the image holds the shard.";
        page.gauge("crossmarket_shard_loaded", help, &[("shard", shard)], flag(position.is_some()));
    }
    let positions = || shards.iter().filter_map(|(shard, position)| Some((shard, (*position)?)));
    for (shard, position) in positions() {
        let help = "The epoch that the image follows.";
        page.gauge("crossmarket_shard_epoch", help, &[("shard", shard)], position.epoch as f64);
    }
    for (shard, position) in positions() {
        let help = "The last revision applied.";
        page.gauge("crossmarket_shard_revision", help, &[("shard", shard)], position.revision as f64);
    }
}

/// The feeds' health as the image has it. A feed that is switched off shows nothing: it is neither up nor down.
fn feeds(page: &mut Exposition, admin: &Admin) {
    let items = admin.feeds();
    let enabled = |item: &'_ Arc<Item>| feed_of(item).is_some_and(|feed| feed.state != FeedState::Disabled);
    let items: Vec<&Arc<Item>> = items.iter().filter(|item| enabled(item)).collect();
    let now = admin.clock.now();
    type Gauge = fn(&FeedStatus, &Item, Timestamp) -> Option<f64>;
    let gauges: [(&str, &str, Gauge); 3] = [
        ("crossmarket_feed_up", "1 while the feed is OK or DEGRADED.", |feed, _, _| {
            Some(flag(matches!(feed.state, FeedState::Ok | FeedState::Degraded)))
        }),
        ("crossmarket_feed_age_seconds", "Time since the feed's last success.", |feed, _, now| {
            Some(now.since(feed.last_success?).as_secs_f64())
        }),
        ("crossmarket_feed_age_budget_seconds", "The age from which its values count as stale.", |_, item, _| {
            Some(item.state.budget.as_secs_f64())
        }),
    ];
    for (name, help, value) in gauges {
        for item in &items {
            if let Some(feed) = feed_of(item)
                && let Some(value) = value(feed, item, now)
            {
                page.gauge(name, help, &labels(feed), value);
            }
        }
    }
    let statuses: Vec<&FeedStatus> = items.iter().filter_map(|item| feed_of(item)).collect();
    type Count = fn(&FeedStatus) -> u64;
    let counters: [(&str, &str, Count); 4] = [
        ("crossmarket_feed_requests_total", "Requests and frames of the feed.", |feed| feed.request_count),
        ("crossmarket_feed_errors_total", "Errors of the feed.", |feed| feed.error_count),
        ("crossmarket_feed_observations_total", "Observations of the feed.", |feed| feed.observation_count),
        ("crossmarket_feed_reconnects_total", "Reconnects of a stream.", |feed| feed.reconnect_count),
    ];
    for (name, help, count) in counters {
        for feed in &statuses {
            page.counter(name, help, &labels(feed), count(feed));
        }
    }
    for feed in &statuses {
        for (reason, count) in &feed.rejections {
            let [venue, name] = labels(feed);
            let labels = [venue, name, ("reason", reason.as_str())];
            page.counter("crossmarket_feed_rejections_total", "Entries refused, by reason.", &labels, *count);
        }
    }
    rate_limits(page, &statuses);
}

/// Several feeds of a venue draw on one scope, which is shown once.
fn rate_limits(page: &mut Exposition, statuses: &[&FeedStatus]) {
    let mut scopes = BTreeMap::new();
    for feed in statuses {
        for budget in &feed.rate_budgets {
            let scope = budget.scope.rsplit_once(':').map_or(budget.scope.as_str(), |(_, scope)| scope);
            scopes.insert((feed.venue.as_str(), scope), (budget.limit, budget.used));
        }
    }
    for ((venue, scope), (limit, _)) in &scopes {
        let labels = [("venue", *venue), ("scope", *scope)];
        page.gauge("crossmarket_venue_rate_limit", "Weight that a metered scope allows.", &labels, *limit as f64);
    }
    for ((venue, scope), (_, used)) in &scopes {
        let labels = [("venue", *venue), ("scope", *scope)];
        page.gauge("crossmarket_venue_rate_used", "Weight used in the last window.", &labels, *used as f64);
    }
}

fn labels(feed: &FeedStatus) -> [(&str, &str); 2] {
    [("venue", feed.venue.as_str()), ("feed", feed.feed.as_str())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_tells_is_read() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 9 0 100 1 1";
        assert_eq!(processor_seconds(stat), Some(3.0));
        assert_eq!(processor_seconds("7 (a"), None);
        assert_eq!(number_after("VmHWM:\t 9 kB\nVmRSS:\t  12 kB\n", "VmRSS:"), Some(12.0));
        assert_eq!(number_after("Max open files  unlimited  unlimited  files", "Max open files"), None);
    }

    #[test]
    fn this_process_is_told_of() {
        let mut page = Exposition::default();
        process(&mut page, Timestamp::from_micros(1_500_000));
        let text = page.into_text();
        for line in ["process_start_time_seconds 1.5", "process_open_fds ", "process_resident_memory_bytes "] {
            assert!(text.contains(&format!("\n{line}")), "{text}");
        }
    }
}
