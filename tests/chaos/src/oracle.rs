//! What must come out: plain code over the same payments. And the tally of what does.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use chrono::DateTime;
use serde::Deserialize;

use crate::input::{Payment, account_number, accounts};

const WINDOW_MILLIS: i64 = 10_000;

/// A row of an account. Its rows come in an order: the n-th is at position n.
trait Row: PartialEq + std::fmt::Debug + Sized {
    /// Its account, and itself.
    fn parse(json: &[u8]) -> Result<(u32, Self)>;
    fn position(&self, expected: &[Self]) -> Option<usize>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Booked {
    number: u32,
    cents: i64,
    balance: i64,
    entries: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turnover {
    /// Milliseconds.
    window_start: i64,
    payments: u64,
    cents: i64,
}

fn account(name: &str) -> Result<u32> {
    account_number(name).with_context(|| format!("`{name}` is no account"))
}

impl Row for Booked {
    fn parse(json: &[u8]) -> Result<(u32, Self)> {
        #[derive(Deserialize)]
        struct Json<'a> {
            account: &'a str,
            number: u32,
            cents: i64,
            balance: i64,
            entries: u32,
        }
        let Json { account: name, number, cents, balance, entries } = serde_json::from_slice(json)?;
        Ok((account(name)?, Self { number, cents, balance, entries }))
    }

    fn position(&self, _: &[Self]) -> Option<usize> {
        (self.entries as usize).checked_sub(1)
    }
}

impl Row for Turnover {
    fn parse(json: &[u8]) -> Result<(u32, Self)> {
        #[derive(Deserialize)]
        struct Json<'a> {
            account: &'a str,
            window_start: &'a str,
            payments: u64,
            cents: i64,
        }
        let Json { account: name, window_start, payments, cents } = serde_json::from_slice(json)?;
        let window_start = DateTime::parse_from_rfc3339(window_start)?.timestamp_millis();
        Ok((account(name)?, Self { window_start, payments, cents }))
    }

    fn position(&self, expected: &[Self]) -> Option<usize> {
        expected.binary_search_by_key(&self.window_start, |row| row.window_start).ok()
    }
}

/// Everything that must come out, by account.
pub struct Expected {
    booked: Vec<Vec<Booked>>,
    turnovers: Vec<Vec<Turnover>>,
    /// Account and number.
    dead_letters: BTreeSet<(u32, u32)>,
}

impl Expected {
    pub fn of(payments: &[Payment]) -> Self {
        let accounts = accounts(payments.len() as u32) as usize;
        let mut booked: Vec<Vec<Booked>> = vec![Vec::new(); accounts];
        let mut windows: Vec<BTreeMap<i64, (u64, i64)>> = vec![BTreeMap::new(); accounts];
        for payment in payments.iter().filter(|payment| payment.is_good()) {
            let of_account = &mut booked[payment.account as usize];
            let balance = of_account.last().map_or(0, |row| row.balance) + payment.cents;
            let entries = of_account.len() as u32 + 1;
            of_account.push(Booked { number: payment.number, cents: payment.cents, balance, entries });
            let window_start = payment.at - payment.at.rem_euclid(WINDOW_MILLIS);
            let window = windows[payment.account as usize].entry(window_start).or_default();
            *window = (window.0 + 1, window.1 + payment.cents);
        }
        let rows = |windows: BTreeMap<i64, (u64, i64)>| {
            let row = |(window_start, (payments, cents))| Turnover { window_start, payments, cents };
            windows.into_iter().map(row).collect()
        };
        let bad = payments.iter().filter(|payment| !payment.is_good());
        Self {
            booked,
            turnovers: windows.into_iter().map(rows).collect(),
            dead_letters: bad.map(|payment| (payment.account, payment.number)).collect(),
        }
    }

    pub fn booked_rows(&self) -> u64 {
        self.booked.iter().map(|rows| rows.len() as u64).sum()
    }

    pub fn turnover_rows(&self) -> u64 {
        self.turnovers.iter().map(|rows| rows.len() as u64).sum()
    }

    pub fn dead_letters(&self) -> u64 {
        self.dead_letters.len() as u64
    }

    pub fn booked(&self) -> Tally<'_> {
        Tally(Box::new(Counted::new(&self.booked)))
    }

    pub fn turnovers(&self) -> Tally<'_> {
        Tally(Box::new(Counted::new(&self.turnovers)))
    }

    /// Each payment that cannot be booked has a letter that says why, and no other has one. A letter is written when the
    /// payment is met, and again when it is met again.
    pub fn check_dead_letters(&self, lines: &str) -> Result<()> {
        #[derive(Deserialize)]
        struct Letter<'a> {
            node: &'a str,
            reason: String,
            event: Event<'a>,
        }
        #[derive(Deserialize)]
        struct Event<'a> {
            account: &'a str,
            number: u32,
        }
        let mut found = BTreeSet::new();
        for line in lines.lines() {
            let letter: Letter<'_> = serde_json::from_str(line).with_context(|| format!("no dead letter: {line}"))?;
            let event = (account(letter.event.account)?, letter.event.number);
            let is_right = letter.node == "ledger" && letter.reason.starts_with("it trapped");
            ensure!(is_right && self.dead_letters.contains(&event), "a dead letter that should not be: {line}");
            found.insert(event);
        }
        let missing: Vec<_> = self.dead_letters.difference(&found).take(5).collect();
        ensure!(missing.is_empty(), "no dead letters of {missing:?} (account, number), and maybe more");
        Ok(())
    }
}

/// Of the rows of one output, read in the order in which they stand there.
pub struct Tally<'a>(Box<dyn Count + Send + 'a>);

impl Tally<'_> {
    /// What is wrong with this row, if anything is.
    pub fn row(&mut self, json: &[u8]) -> Result<()> {
        self.0.row(json).with_context(|| format!("the row {}", String::from_utf8_lossy(json)))
    }

    /// How many rows have come.
    pub fn rows(&self) -> u64 {
        self.0.rows()
    }

    /// What is missing now that all has been read.
    pub fn finish(&self) -> Result<()> {
        self.0.finish()
    }
}

trait Count {
    fn row(&mut self, json: &[u8]) -> Result<()>;
    fn rows(&self) -> u64;
    fn finish(&self) -> Result<()>;
}

struct Counted<'a, R> {
    expected: &'a [Vec<R>],
    /// By account: the position of the row that comes next.
    next: Vec<usize>,
    rows: u64,
}

impl<'a, R: Row> Counted<'a, R> {
    fn new(expected: &'a [Vec<R>]) -> Self {
        Self { expected, next: vec![0; expected.len()], rows: 0 }
    }
}

impl<R: Row> Count for Counted<'_, R> {
    fn row(&mut self, json: &[u8]) -> Result<()> {
        let (account, row) = R::parse(json)?;
        let expected = self.expected.get(account as usize).context("is of no account that was ever paid")?;
        let position = row.position(expected).filter(|position| expected.get(*position) == Some(&row));
        let position = position.context("is not among those that must come")?;
        let next = &mut self.next[account as usize];
        match position.cmp(next) {
            Ordering::Greater => bail!("came before the row {:?} of its account", expected[*next]),
            Ordering::Less => bail!("came twice, or behind a later one: {next} rows of its account were there"),
            Ordering::Equal => {}
        }
        *next += 1;
        self.rows += 1;
        Ok(())
    }

    fn rows(&self) -> u64 {
        self.rows
    }

    fn finish(&self) -> Result<()> {
        let missing = self.expected.iter().zip(&self.next).filter(|(expected, next)| **next < expected.len());
        let lost: usize = missing.clone().map(|(expected, next)| expected.len() - next).sum();
        let first = missing.map(|(expected, next)| &expected[*next]).next();
        first.map_or(Ok(()), |first| bail!("{lost} rows are missing; one of them is {first:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::payments;

    const LATER: &str = r#"{"account":"account-7","number":2,"cents":7,"balance":12,"entries":2}"#;
    const FIRST: &str = r#"{"account":"account-7","number":1,"cents":5,"balance":5,"entries":1}"#;

    fn expected() -> Expected {
        let payment = |number, cents| Payment { account: 7, number, cents, at: 10_001 };
        Expected::of(&[payment(1, 5), payment(2, 7), payment(3, i64::MAX)])
    }

    #[test]
    fn every_row_once_and_in_order() {
        let expected = expected();
        assert_eq!((expected.booked_rows(), expected.turnover_rows(), expected.dead_letters()), (2, 1, 1));
        let early = expected.booked().row(LATER.as_bytes()).unwrap_err();
        assert!(format!("{early:#}").contains("came before"), "{early:#}");
        let mut booked = expected.booked();
        booked.row(FIRST.as_bytes()).unwrap();
        assert!(booked.finish().unwrap_err().to_string().contains("1 rows are missing"));
        booked.row(LATER.as_bytes()).unwrap();
        booked.finish().unwrap();
        let again = booked.row(FIRST.as_bytes()).unwrap_err();
        assert!(format!("{again:#}").contains("came twice"), "{again:#}");

        let mut turnovers = expected.turnovers();
        let row = r#"{"account":"account-7","window_start":"1970-01-01T00:00:10Z","payments":2,"cents":12}"#;
        turnovers.row(row.as_bytes()).unwrap();
        turnovers.finish().unwrap();
        assert!(turnovers.row(row.replace("12}", "13}").as_bytes()).is_err());
    }

    #[test]
    fn dead_letters_are_those_of_payments_that_trap() {
        let letter = |number: u32| {
            format!(
                r#"{{"node":"ledger","reason":"it trapped: unreachable","event":{{"account":"account-7","number":{number}}}}}"#
            )
        };
        let expected = expected();
        expected.check_dead_letters(&format!("{}\n{}\n", letter(3), letter(3))).unwrap();
        assert!(expected.check_dead_letters("").is_err());
        assert!(expected.check_dead_letters(&letter(2)).is_err());
    }

    #[test]
    fn there_is_something_of_everything() {
        let expected = Expected::of(&payments(3, 50_000));
        assert!(expected.turnover_rows() > 5_000 && expected.dead_letters() > 3);
    }
}
