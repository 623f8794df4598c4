//! Checks clicks: three columns of six are read, one is written, and what is no click goes to a side output.
use wasmill_sdk::prelude::*;

/// What the check reads of a click.
#[derive(Record)]
pub struct Click<'a> {
    pub action: &'a str,
    pub ad_id: &'a str,
    pub ip: &'a str,
}

#[derive(Record, Debug, PartialEq)]
pub struct Checked<'a> {
    /// without the spaces around it
    pub action: &'a str,
}

#[derive(Record, Debug, PartialEq)]
pub struct Rejected<'a> {
    pub ad_id: &'a str,
    pub ip: &'a str,
    pub reason: &'a str,
}

pub struct CheckClick {
    rejected: Port<Rejected<'static>>,
}

impl Process for CheckClick {
    const SUMMARY: &'static str = "checks a click's action, ad and address, and cleans the action";
    type Key<'a> = ();
    type In<'a> = Click<'a>;
    type Out<'a> = Extend<Checked<'a>>;
    type Timer = NoTimers;

    fn open(cx: &mut Open<'_>) -> Result<Self, Error> {
        Ok(Self {
            rejected: cx.side_output("rejected"),
        })
    }

    fn on_event(&self, click: Click<'_>, cx: &mut Context<'_, Self>) -> Outcome {
        match check(&click) {
            Ok(action) => cx.emit(Extend(Checked { action })),
            Err(reason) => cx.emit_to(
                &self.rejected,
                Rejected {
                    ad_id: click.ad_id,
                    ip: click.ip,
                    reason,
                },
            ),
        }
        Ok(())
    }
}

/// The clean action, or what is wrong with the click.
fn check<'a>(click: &Click<'a>) -> Result<&'a str, &'static str> {
    let action = click.action.trim_ascii();
    if !matches!(action, "view" | "click" | "purchase" | "scroll") {
        return Err("unknown action");
    }
    let id = click.ad_id.as_bytes();
    if id.len() < 3 || &id[..2] != b"ad" || !id[2..].iter().all(u8::is_ascii_digit) {
        return Err("malformed ad_id");
    }
    if !is_address(click.ip) {
        return Err("malformed ip");
    }
    Ok(action)
}

/// Whether it is four numbers below 256 with dots between them.
fn is_address(text: &str) -> bool {
    let (mut dots, mut number, mut digits) = (0, 0, 0);
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' if digits < 3 => {
                (number, digits) = (number * 10 + u32::from(byte - b'0'), digits + 1)
            }
            b'.' if digits > 0 && number < 256 => (dots, number, digits) = (dots + 1, 0, 0),
            _ => return false,
        }
    }
    dots == 3 && digits > 0 && number < 256
}

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
pub struct ClickRate {
    pub views: u64,
    pub clicks: u64,
    /// clicks for each view
    pub rate: f64,
}

/// How good the ads of a window are.
pub struct Quality;

impl Aggregate for Quality {
    const SUMMARY: &'static str = "views, clicks, and clicks for each view";
    type In<'a> = Action<'a>;
    type Acc = Tally;
    type Out = ClickRate;

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

    fn result(acc: &Tally, _: &Window) -> ClickRate {
        let rate = acc.clicks as f64 / acc.views.max(1) as f64;
        ClickRate {
            views: acc.views,
            clicks: acc.clicks,
            rate,
        }
    }
}

export!(process: CheckClick; aggregate: Quality);

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::{Drive, DriveAggregate};

    #[test]
    fn what_is_no_click_goes_to_the_side_output() {
        let mut check = Drive::<CheckClick>::new();
        for (action, ad_id, ip) in [
            (" view", "ad0001", "10.1.2.3"),
            ("stare", "ad0001", "10.1.2.3"),
            ("click", "0001", "10.1.2.3"),
            ("click", "ad0001", "10.1.2.300"),
        ] {
            check.event(Timestamp(0), Click { action, ad_id, ip });
        }
        assert_eq!(check.outputs(), [Extend(Checked { action: "view" })]);
        let reasons: Vec<_> = check
            .side_output::<Rejected<'_>>("rejected")
            .iter()
            .map(|row| row.reason)
            .collect();
        assert_eq!(
            reasons,
            ["unknown action", "malformed ad_id", "malformed ip"]
        );
    }

    #[test]
    fn quality_is_clicks_for_each_view() {
        let mut quality = DriveAggregate::<Quality>::new();
        quality.add(["view", "view", "click", "purchase"].map(|action| Action { action }));
        let rate = quality.result(Timestamp(0), Timestamp(1));
        assert_eq!(
            rate,
            ClickRate {
                views: 2,
                clicks: 1,
                rate: 0.5
            }
        );
    }
}
