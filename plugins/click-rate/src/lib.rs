//! How often the ads of a window are clicked when they are seen: an aggregate of three functions.
use wasmill_sdk::prelude::*;

#[derive(Record)]
pub struct Action<'a> {
    pub action: &'a str,
}

#[derive(Record, Default)]
pub struct Tally {
    pub views: u64,
    pub clicks: u64,
}

#[derive(Record, Debug, PartialEq)]
pub struct Rate {
    pub views: u64,
    pub clicks: u64,
    /// clicks for each view
    pub rate: f64,
}

pub struct ClickRate;

impl Aggregate for ClickRate {
    const SUMMARY: &'static str = "views, clicks, and clicks for each view";
    type In<'a> = Action<'a>;
    type Acc = Tally;
    type Out = Rate;

    fn add(acc: &mut Tally, row: Action<'_>) {
        match row.action {
            "view" => acc.views += 1,
            "click" => acc.clicks += 1,
            _ => {}
        }
    }

    fn merge(acc: &mut Tally, other: Tally) {
        acc.views += other.views;
        acc.clicks += other.clicks;
    }

    fn result(acc: &Tally, _: &Window) -> Rate {
        let rate = acc.clicks as f64 / acc.views.max(1) as f64;
        Rate { views: acc.views, clicks: acc.clicks, rate }
    }
}

export!(aggregate: ClickRate);

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::DriveAggregate;

    #[test]
    fn the_rate_is_clicks_for_each_view() {
        let mut rate = DriveAggregate::<ClickRate>::new();
        rate.add(["view", "view", "click", "purchase"].map(|action| Action { action }));
        let rate = rate.result(Timestamp(0), Timestamp(1));
        assert_eq!(rate, Rate { views: 2, clicks: 1, rate: 0.5 });
    }
}
