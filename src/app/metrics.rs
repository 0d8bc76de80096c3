//! The metrics page. Values that the image and the system already have are read when a page is requested.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::process_view::{ProcessView, feed_of};
use crossmarket_domain::Timestamp;
use crossmarket_domain::state::FeedState;
use crossmarket_image::{Collection, Item, View};
use crossmarket_telemetry::metrics as names;
use crossmarket_telemetry::registry::Page;

/// Collections with their names in labels.
const COLLECTIONS: [(Collection, &str); 5] = [
    (Collection::Prices, "prices"),
    (Collection::Assets, "assets"),
    (Collection::Feeds, "feeds"),
    (Collection::LongShortRatios, "long_short"),
    (Collection::Indices, "indices"),
];

/// Linux reports processor time to programs in hundredths of a second, whatever its internal clock is.
const TICKS_PER_SECOND: f64 = 100.0;

pub(super) fn page(view: &ProcessView) -> Page {
    let mut page = Page::default();
    page.add(&names::BUILD_INFO, &[env!("CARGO_PKG_VERSION"), view.role], 1.0);
    page.add(&names::SIMULATED, &[], flag(view.simulated));
    page.add(&names::READY, &[], flag(view.is_ready(false).is_ok()));
    process(&mut page, view.started);
    leases(&mut page, view);
    tls(&mut page, view);
    reloads(&mut page, view);
    refusals(&mut page, view);
    image(&mut page, view);
    feeds(&mut page, view);
    names::collect(&mut page);
    page
}

fn flag(is_set: bool) -> f64 {
    f64::from(u8::from(is_set))
}

/// The names that Prometheus's own client libraries use. A value that the system does not provide is absent.
fn process(page: &mut Page, started: Timestamp) {
    let start = started.as_micros() as f64 / 1e6;
    page.add(&names::PROCESS_START, &[], start);
    let read = |name: &str| std::fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
    if let Some(seconds) = processor_seconds(&read("stat")) {
        page.add(&names::PROCESS_CPU, &[], seconds);
    }
    if let Some(kilobytes) = number_after(&read("status"), "VmRSS:") {
        page.add(&names::PROCESS_MEMORY, &[], kilobytes * 1_024.0);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        page.add(&names::PROCESS_OPEN_FDS, &[], open.count() as f64);
    }
    if let Some(allowed) = number_after(&read("limits"), "Max open files") {
        page.add(&names::PROCESS_MAX_FDS, &[], allowed);
    }
}

/// Of `/proc/self/stat`. The program's name is in brackets and may contain anything.
fn processor_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<f64>().ok());
    Some((times.next()?? + times.next()??) / TICKS_PER_SECOND)
}

fn number_after(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

fn leases(page: &mut Page, view: &ProcessView) {
    let Some(leading) = &view.leading else { return };
    let held = leading.shards();
    for shard in view.image.shards().all() {
        page.add(&names::LEASE_HELD, &[&shard.to_string()], flag(held.contains(&shard)));
    }
}

fn tls(page: &mut Page, view: &ProcessView) {
    let Some(status) = view.tls.as_ref().map(|tls| tls.status()) else { return };
    let ends = [("server", Some(status.certificate_end)), ("client_ca", status.client_ca_end)];
    for (certificate, end) in ends {
        if let Some(end) = end {
            page.add(&names::TLS_EXPIRY, &[certificate], end as f64);
        }
    }
}

fn reloads(page: &mut Page, view: &ProcessView) {
    for (files, reloads) in view.reloads.iter() {
        for (outcome, count) in reloads.counts() {
            page.add(&names::FILE_RELOADS, &[files, outcome], count);
        }
    }
}

fn refusals(page: &mut Page, view: &ProcessView) {
    let Some(refusals) = view.guard.as_ref().map(|guard| guard.refusals()) else { return };
    for (reason, count) in refusals.of_credentials() {
        page.add(&names::AUTH_REJECTIONS, &[reason], count);
    }
    for (limit, count) in refusals.of_quotas() {
        page.add(&names::QUOTA_REJECTIONS, &[limit], count);
    }
}

fn image(page: &mut Page, view: &ProcessView) {
    let image = &view.image;
    let collections = COLLECTIONS.map(|(collection, name)| (image.select(collection, |_| true), name));
    for (items, name) in &collections {
        page.add(&names::IMAGE_KEYS, &[name], items.len() as f64);
    }
    let len = |item: &Arc<Item>| item.entry(View::Basic).len() + item.entry(View::Full).len();
    let bytes: usize = collections.iter().flat_map(|(items, _)| items).map(len).sum();
    page.add(&names::IMAGE_BYTES, &[], bytes as f64);
    let prices = collections.first().map_or(0, |(items, _)| items.len());
    page.add(&names::IMAGE_PRICES, &[], prices as f64);
    page.add(&names::IMAGE_PRICES_FRESH, &[], image.fresh_price_count() as f64);
    for shard in image.shards().all() {
        let (label, position) = (shard.to_string(), image.position(shard));
        page.add(&names::SHARD_LOADED, &[&label], flag(position.is_some()));
        if let Some(position) = position {
            page.add(&names::SHARD_EPOCH, &[&label], position.epoch as f64);
            page.add(&names::SHARD_REVISION, &[&label], position.revision as f64);
        }
    }
}

/// The health of the feeds according to the image. A disabled feed is absent: it is neither up nor down.
fn feeds(page: &mut Page, view: &ProcessView) {
    let items = view.feeds();
    let enabled = |item: &'_ Arc<Item>| feed_of(item).is_some_and(|feed| feed.state != FeedState::Disabled);
    let items: Vec<&Arc<Item>> = items.iter().filter(|item| enabled(item)).collect();
    let now = view.clock.now();
    let mut scopes = BTreeMap::new();
    for item in items {
        let Some(feed) = feed_of(item) else { continue };
        let labels = [feed.venue.as_str(), feed.feed.as_str()];
        page.add(&names::FEED_UP, &labels, flag(matches!(feed.state, FeedState::Ok | FeedState::Degraded)));
        if let Some(last_success) = feed.last_success {
            page.add(&names::FEED_AGE, &labels, now.since(last_success).as_secs_f64());
        }
        page.add(&names::FEED_AGE_BUDGET, &labels, item.state.budget.as_secs_f64());
        page.add(&names::FEED_REQUESTS, &labels, feed.request_count);
        page.add(&names::FEED_ERRORS, &labels, feed.error_count);
        page.add(&names::FEED_OBSERVATIONS, &labels, feed.observation_count);
        page.add(&names::FEED_RECONNECTS, &labels, feed.reconnect_count);
        for (reason, count) in &feed.rejections {
            page.add(&names::FEED_REJECTIONS, &[labels[0], labels[1], reason], *count);
        }
        // Several feeds of a venue may share a scope, which is shown once.
        for budget in &feed.rate_budgets {
            let scope = budget.scope.rsplit_once(':').map_or(budget.scope.as_str(), |(_, scope)| scope);
            scopes.insert((feed.venue.as_str(), scope), (budget.limit, budget.used));
        }
    }
    for ((venue, scope), (limit, used)) in scopes {
        page.add(&names::VENUE_RATE_LIMIT, &[venue, scope], limit as f64);
        page.add(&names::VENUE_RATE_USED, &[venue, scope], used as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossmarket_telemetry::exposition;

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
        let mut page = Page::default();
        process(&mut page, Timestamp::from_micros(1_500_000));
        let text = exposition::text(&page);
        for line in ["process_start_time_seconds 1.5", "process_open_fds ", "process_resident_memory_bytes "] {
            assert!(text.contains(&format!("\n{line}")), "{text}");
        }
    }
}
