//! The same windows by plain code that keeps every event.

use std::collections::BTreeMap;

use super::fixture::*;

#[derive(Default)]
pub struct Oracle {
    /// Events in the order in which they came, and the watermark at that moment.
    events: Vec<(Event, i64)>,
    /// The numbers of rows that are dead letters.
    pub dead: usize,
    pub late: Vec<i32>,
    pub late_rows: u64,
}

/// What a window has for a key in the end; `None` = a plugin fails.
pub type Results = BTreeMap<(i64, String), Option<Vec<String>>>;

impl Setup {
    /// The starts of the windows that hold a time.
    fn windows(&self, time: i64) -> Vec<i64> {
        let last = (time - self.offset).div_euclid(self.slide) * self.slide + self.offset;
        (0..).map(|i| last - i * self.slide).take_while(|start| start + self.size > time).collect()
    }

    fn is_gone(&self, start: i64, watermark: i64) -> bool {
        watermark != i64::MIN && start + self.size - 1 + self.lateness <= watermark
    }

    /// The greatest length that size and slide are multiples of.
    fn pane(&self) -> i64 {
        (1..=self.size).rev().find(|pane| self.size % pane == 0 && self.slide % pane == 0).unwrap()
    }
}

impl Oracle {
    pub fn add(&mut self, setup: &Setup, event: &Event, watermark: i64) {
        let windows = setup.windows(event.time);
        if windows.is_empty() {
            return;
        }
        if windows.iter().all(|start| setup.is_gone(*start, watermark)) {
            self.late.extend(event.number);
            self.late_rows += 1;
        } else if event.number == Some(FAILS_ADD) {
            self.dead += 1;
        } else {
            self.events.push((event.clone(), watermark));
        }
    }

    pub fn results(&self, setup: &Setup) -> Results {
        let mut groups: BTreeMap<(i64, String), Vec<&Event>> = BTreeMap::new();
        for (event, watermark) in &self.events {
            for start in setup.windows(event.time) {
                if !setup.is_gone(start, *watermark) {
                    let key = match (setup.keyed, event.key) {
                        (false, _) => String::new(),
                        (true, None) => format!("null,{}", event.name),
                        (true, Some(key)) => format!("{key},{}", event.name),
                    };
                    groups.entry((start, key)).or_default().push(event);
                }
            }
        }
        // A window merges its panes in their order.
        let pane = |event: &&Event| (event.time - setup.offset).div_euclid(setup.pane());
        let finish = |mut events: Vec<&Event>| {
            events.sort_by_key(pane);
            let has = |number| events.iter().any(|event| event.number == Some(number));
            let merges = pane(&events[0]) != pane(&events[events.len() - 1]);
            let fails = has(FAILS_FINISH) || merges && has(FAILS_MERGE);
            (!fails).then(|| aggregate(&events))
        };
        groups.into_iter().map(|(group, events)| (group, finish(events))).collect()
    }
}

fn show<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "null".to_owned(), |value| value.to_string())
}

/// As `Setup::new` has them.
fn aggregate(events: &[&Event]) -> Vec<String> {
    let numbers: Vec<i32> = events.iter().filter_map(|event| event.number).collect();
    let prices: Vec<i128> = events.iter().filter_map(|event| event.price).collect();
    let ratios: Vec<f64> = events.iter().filter_map(|event| event.ratio).collect();
    let number_sum: i64 = numbers.iter().map(|number| i64::from(*number)).sum();
    let price_sum: i128 = prices.iter().sum();
    let ratio_sum: f64 = ratios.iter().sum();
    vec![
        numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        events.len().to_string(),
        numbers.len().to_string(),
        show((!numbers.is_empty()).then_some(number_sum)),
        show((!prices.is_empty()).then_some(price_sum)),
        show((!ratios.is_empty()).then_some(ratio_sum)),
        show((!prices.is_empty()).then(|| price_sum as f64 / 100.0 / prices.len() as f64)),
        show((!ratios.is_empty()).then(|| ratio_sum / ratios.len() as f64)),
        show(numbers.iter().min()),
        show(prices.iter().max()),
        show(ratios.iter().copied().min_by(f64::total_cmp)),
        show(events.iter().filter_map(|event| event.text.as_ref()).min()),
        show(events.iter().filter_map(|event| event.at).max()),
        (number_sum + events.iter().map(|event| event.time).sum::<i64>()).to_string(),
    ]
}
