//! Checks clicks: three columns of six are read, one is written, and what is no click goes to a side output.
use std::net::Ipv4Addr;
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
        Ok(Self { rejected: cx.side_output("rejected") })
    }

    fn on_event(&self, click: Click<'_>, cx: &mut Context<'_, Self>) -> Outcome {
        match check(&click) {
            Ok(action) => cx.emit(Extend(Checked { action })),
            Err(reason) => cx.emit_to(&self.rejected, Rejected { ad_id: click.ad_id, ip: click.ip, reason }),
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
    let number = click.ad_id.strip_prefix("ad").unwrap_or_default();
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("malformed ad_id");
    }
    if click.ip.parse::<Ipv4Addr>().is_err() {
        return Err("malformed ip");
    }
    Ok(action)
}

export!(process: CheckClick);

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::Drive;

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
        let reasons: Vec<_> = check.side_output::<Rejected<'_>>("rejected").iter().map(|row| row.reason).collect();
        assert_eq!(reasons, ["unknown action", "malformed ad_id", "malformed ip"]);
    }
}
