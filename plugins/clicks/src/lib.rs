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
    if !matches!(action, "view" | "click" | "purchase") {
        return Err("unknown action");
    }
    if !click.ad_id.strip_prefix("ad").is_some_and(|id| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err("malformed ad_id");
    }
    let mut parts = 0;
    if !click.ip.split('.').all(|part| { parts += 1; part.parse::<u8>().is_ok() }) || parts != 4 {
        return Err("malformed ip");
    }
    Ok(action)
}

export!(process: CheckClick);
