//! What the keys and values of an instance are. Durable: see `NativeForm::RocksDb1`.

use crate::model::key_group::KeyGroup;
use crate::state::snapshot::Content;

/// Before the keys of a group's rows stands how many there are (u64, little-endian).
const COUNT: u8 = 0;
const ROWS: u8 = Content::Rows as u8;
const PANES: u8 = Content::Panes as u8;

/// The bytes before an encoded key.
pub const PREFIX_BYTES: usize = 3;

pub fn put_row_key(group: KeyGroup, key: &[u8], into: &mut Vec<u8>) {
    into.extend_from_slice(&group.0.to_be_bytes());
    into.push(ROWS);
    into.extend_from_slice(key);
}

pub fn count_key(group: KeyGroup) -> [u8; PREFIX_BYTES] {
    let [high, low] = group.0.to_be_bytes();
    [high, low, COUNT]
}

/// The first key of a group, and the one behind the last of the group before it. There are at most 32768 groups.
pub fn group_start(group: u16) -> [u8; 2] {
    group.to_be_bytes()
}

/// The number of a table (i64) so that the order of the bytes is that of the numbers.
const TABLE_BYTES: usize = 8;

/// The first key of a table in a group.
pub fn table_start(group: KeyGroup, table: i64) -> [u8; PREFIX_BYTES + TABLE_BYTES] {
    let [high, low] = group.0.to_be_bytes();
    let [a, b, c, d, e, f, g, h] = (table ^ i64::MIN).to_be_bytes();
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
    Some((i64::from_be_bytes(*table) ^ i64::MIN, key))
}

/// What an entry of an instance is.
#[derive(Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    Count(KeyGroup, u64),
    Row(KeyGroup, &'a [u8]),
}

/// `None` = it is none of ours.
pub fn parse<'a>(key: &'a [u8], value: &[u8]) -> Option<Entry<'a>> {
    let ([high, low, content], rest) = key.split_first_chunk::<PREFIX_BYTES>()?;
    let group = KeyGroup(u16::from_be_bytes([*high, *low]));
    match *content {
        COUNT => Some(Entry::Count(group, u64::from_le_bytes(value.try_into().ok()?))),
        ROWS => Some(Entry::Row(group, rest)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_pinned() {
        let mut key = Vec::new();
        put_row_key(KeyGroup(258), b"key", &mut key);
        assert_eq!(key, b"\x01\x02\x01key");
        assert_eq!(parse(&key, b""), Some(Entry::Row(KeyGroup(258), b"key")));
        assert_eq!(count_key(KeyGroup(258)), *b"\x01\x02\x00");
        assert_eq!(parse(b"\x01\x02\x00", &7u64.to_le_bytes()), Some(Entry::Count(KeyGroup(258), 7)));
        key.clear();
        put_table_key(KeyGroup(258), -2, b"key", &mut key);
        assert_eq!(key, b"\x01\x02\x04\x7f\xff\xff\xff\xff\xff\xff\xfekey");
        assert_eq!(parse_table_key(&key), Some((-2, &b"key"[..])));
        assert!(table_start(KeyGroup(258), -1) < table_start(KeyGroup(258), 0));
    }
}
