//! What the keys and values of an instance are. Durable: see `NativeForm::RocksDb1`.

use crate::model::key_group::KeyGroup;
use crate::model::time::Timestamp;
use crate::state::snapshot::Content;

/// Before everything of a group stands how much there is of it (`Counts`).
const COUNT: u8 = 0;
const ROWS: u8 = Content::Rows as u8;
const ENTRIES: u8 = Content::Entries as u8;
const PANES: u8 = Content::Panes as u8;

/// Timers stand twice, with the same value: by key, where the content's number is, and by time, where it is with this.
const BY_TIME: u8 = 0x80;

/// Of the number of a state, with which an address begins.
const STATE_BYTES: usize = 2;

/// The bytes before an encoded key or an address.
pub const PREFIX_BYTES: usize = 3;

pub fn put_row_key(group: KeyGroup, key: &[u8], into: &mut Vec<u8>) {
    into.extend_from_slice(&group.0.to_be_bytes());
    into.push(ROWS);
    into.extend_from_slice(key);
}

/// `address` is one of `state/entries.rs`, or the front of some.
pub fn put_entry_key(group: KeyGroup, address: &[u8], into: &mut Vec<u8>) {
    into.extend_from_slice(&group.0.to_be_bytes());
    into.push(ENTRIES);
    into.extend_from_slice(address);
}

/// The first key behind all entries of a group.
pub fn entries_end(group: KeyGroup) -> [u8; PREFIX_BYTES] {
    let [high, low] = group.0.to_be_bytes();
    [high, low, ENTRIES + 1]
}

pub fn count_key(group: KeyGroup) -> [u8; PREFIX_BYTES] {
    let [high, low] = group.0.to_be_bytes();
    [high, low, COUNT]
}

/// The first key of a group, and the one behind the last of the group before it. There are at most 32768 groups.
pub fn group_start(group: u16) -> [u8; 2] {
    group.to_be_bytes()
}

/// The timers of a clock that a key has.
pub fn put_timers_key(group: KeyGroup, content: Content, key: &[u8], into: &mut Vec<u8>) {
    into.extend_from_slice(&timers_start(group, content));
    into.extend_from_slice(key);
}

/// Before all of these.
pub fn timers_start(group: KeyGroup, content: Content) -> [u8; PREFIX_BYTES] {
    let [high, low] = group.0.to_be_bytes();
    [high, low, content as u8]
}

/// Behind them.
pub fn timers_end(group: KeyGroup, content: Content) -> [u8; PREFIX_BYTES] {
    let [high, low] = group.0.to_be_bytes();
    [high, low, content as u8 + 1]
}

/// The same timers once more, where the first of them is due.
pub fn put_due_key(group: KeyGroup, content: Content, first: Timestamp, key: &[u8], into: &mut Vec<u8>) {
    let [high, low] = group.0.to_be_bytes();
    into.extend_from_slice(&[high, low, content as u8 | BY_TIME]);
    into.extend_from_slice(&ordered(first.0));
    into.extend_from_slice(key);
}

/// Behind all of these.
pub fn due_end(group: KeyGroup, content: Content) -> [u8; PREFIX_BYTES] {
    let [high, low] = group.0.to_be_bytes();
    [high, low, (content as u8 | BY_TIME) + 1]
}

/// The time and the key of what `put_due_key` has put; `None` = it is none.
pub fn parse_due_key(key: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (first, key) = key.get(PREFIX_BYTES..)?.split_first_chunk()?;
    Some((Timestamp(unordered(*first)), key))
}

/// A number so that the order of the bytes is that of the numbers.
fn ordered(number: i64) -> [u8; 8] {
    (number ^ i64::MIN).to_be_bytes()
}

fn unordered(bytes: [u8; 8]) -> i64 {
    i64::from_be_bytes(bytes) ^ i64::MIN
}

/// The number of a table (i64) so that the order of the bytes is that of the numbers.
const TABLE_BYTES: usize = 8;

/// The first key of a table in a group.
pub fn table_start(group: KeyGroup, table: i64) -> [u8; PREFIX_BYTES + TABLE_BYTES] {
    let [high, low] = group.0.to_be_bytes();
    let [a, b, c, d, e, f, g, h] = ordered(table);
    [high, low, PANES, a, b, c, d, e, f, g, h]
}

/// Behind the last table of a group.
pub fn tables_end(group: KeyGroup) -> [u8; PREFIX_BYTES] {
    let [high, low] = group.0.to_be_bytes();
    [high, low, PANES + 1]
}

pub fn put_table_key(group: KeyGroup, table: i64, key: &[u8], into: &mut Vec<u8>) {
    into.extend_from_slice(&table_start(group, table));
    into.extend_from_slice(key);
}

/// The table and the key of an entry of a table; `None` = it is none.
pub fn parse_table_key(key: &[u8]) -> Option<(i64, &[u8])> {
    let ([_, _, PANES], rest) = key.split_first_chunk::<PREFIX_BYTES>()? else { return None };
    let (table, key) = rest.split_first_chunk::<TABLE_BYTES>()?;
    Some((unordered(*table), key))
}

/// How much there is of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// That have a row.
    pub keys: u64,
    /// Of event time and of processing time.
    pub timers: [u64; 2],
}

impl Counts {
    /// Those of a clock.
    pub fn timers(&self, content: Content) -> u64 {
        self.timers[usize::from(content == Content::ProcessingTimers)]
    }

    pub fn timers_mut(&mut self, content: Content) -> &mut u64 {
        &mut self.timers[usize::from(content == Content::ProcessingTimers)]
    }

    pub fn add(&mut self, more: Self) {
        self.keys += more.keys;
        self.timers[0] += more.timers[0];
        self.timers[1] += more.timers[1];
    }

    /// Numbers (u64, little-endian): the keys and, where there are timers, how many of each clock.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.keys.to_le_bytes().to_vec();
        if self.timers != [0; 2] {
            self.timers.iter().for_each(|timers| bytes.extend_from_slice(&timers.to_le_bytes()));
        }
        bytes
    }

    /// `None` = the bytes are none.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (numbers, []) = bytes.as_chunks() else { return None };
        match *numbers {
            [keys] => Some(Self { keys: u64::from_le_bytes(keys), timers: [0; 2] }),
            [keys, event, processing] => {
                let timers = [u64::from_le_bytes(event), u64::from_le_bytes(processing)];
                Some(Self { keys: u64::from_le_bytes(keys), timers })
            }
            _ => None,
        }
    }
}

/// What an entry of an instance is.
#[derive(Debug, PartialEq, Eq)]
pub enum Item<'a> {
    Counts(KeyGroup, Counts),
    Row(KeyGroup, &'a [u8]),
    /// The timers of a clock that a key has.
    Timers(KeyGroup, Content, &'a [u8]),
    /// The same, with the first of their times.
    Due(KeyGroup, Content, Timestamp, &'a [u8]),
    /// At its address.
    Entry(KeyGroup, &'a [u8]),
    /// Of a key in a table.
    Pane(KeyGroup, i64, &'a [u8]),
}

/// `None` = it is none of ours.
pub fn parse<'a>(key: &'a [u8], value: &[u8]) -> Option<Item<'a>> {
    let ([high, low, content], rest) = key.split_first_chunk::<PREFIX_BYTES>()?;
    let group = KeyGroup(u16::from_be_bytes([*high, *low]));
    match *content {
        COUNT => Counts::decode(value).map(|counts| Item::Counts(group, counts)),
        ROWS => Some(Item::Row(group, rest)),
        code if let Some(content) = timers_content(code) => Some(Item::Timers(group, content, rest)),
        code if let Some(content) = timers_content(code ^ BY_TIME) => {
            parse_due_key(key).map(|(first, key)| Item::Due(group, content, first, key))
        }
        PANES => parse_table_key(key).map(|(table, key)| Item::Pane(group, table, key)),
        ENTRIES if rest.len() >= STATE_BYTES => Some(Item::Entry(group, rest)),
        _ => None,
    }
}

fn timers_content(code: u8) -> Option<Content> {
    [Content::EventTimers, Content::ProcessingTimers].into_iter().find(|content| *content as u8 == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_pinned() {
        let mut key = Vec::new();
        put_row_key(KeyGroup(258), b"key", &mut key);
        assert_eq!(key, b"\x01\x02\x01key");
        assert_eq!(parse(&key, b""), Some(Item::Row(KeyGroup(258), b"key")));
        key.clear();
        put_entry_key(KeyGroup(258), b"\0\x07address", &mut key);
        assert_eq!(key, b"\x01\x02\x05\0\x07address");
        assert_eq!(parse(&key, b""), Some(Item::Entry(KeyGroup(258), b"\0\x07address")));
        assert_eq!(parse(&key[..4], b""), None);
        assert_eq!(count_key(KeyGroup(258)), *b"\x01\x02\x00");
        let counts = Counts { keys: 7, timers: [0, 0] };
        assert_eq!(counts.encode(), 7u64.to_le_bytes());
        assert_eq!(parse(b"\x01\x02\x00", &counts.encode()), Some(Item::Counts(KeyGroup(258), counts)));
        let counts = Counts { keys: 7, timers: [8, 9] };
        assert_eq!(counts.encode().len(), 24);
        assert_eq!(Counts::decode(&counts.encode()), Some(counts));
        assert_eq!(Counts::decode(&counts.encode()[..16]), None);
        key.clear();
        put_table_key(KeyGroup(258), -2, b"key", &mut key);
        assert_eq!(key, b"\x01\x02\x04\x7f\xff\xff\xff\xff\xff\xff\xfekey");
        assert_eq!(parse_table_key(&key), Some((-2, &b"key"[..])));
        assert!(table_start(KeyGroup(258), -1) < table_start(KeyGroup(258), 0));
        key.clear();
        put_timers_key(KeyGroup(258), Content::ProcessingTimers, b"key", &mut key);
        assert_eq!(key, b"\x01\x02\x03key");
        assert_eq!(parse(&key, b""), Some(Item::Timers(KeyGroup(258), Content::ProcessingTimers, b"key")));
        key.clear();
        put_due_key(KeyGroup(258), Content::EventTimers, Timestamp(-2), b"key", &mut key);
        assert_eq!(key, b"\x01\x02\x82\x7f\xff\xff\xff\xff\xff\xff\xfekey");
        assert_eq!(parse(&key, b""), Some(Item::Due(KeyGroup(258), Content::EventTimers, Timestamp(-2), b"key")));
        assert_eq!(parse(&key[..8], b""), None);
    }
}
