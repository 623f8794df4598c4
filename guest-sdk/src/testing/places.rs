//! The keys of maps as the native store orders them: bytes that compare as the keys do.

use crate::bindings::wasmill::operator::columns::{Column, Values, Variable};
use crate::record::bits;
use crate::schema::{DataType, IntegerType};

/// The key in a row of a column.
pub(super) fn encode(data_type: DataType, column: &Column, row: usize) -> Vec<u8> {
    match &column.values {
        Values::Booleans(values) => vec![u8::from(bits::get(values, row))],
        Values::S8s(values) => flip(values[row].to_be_bytes()).to_vec(),
        Values::S16s(values) => flip(values[row].to_be_bytes()).to_vec(),
        Values::S32s(values) => flip(values[row].to_be_bytes()).to_vec(),
        Values::S64s(values) => flip(values[row].to_be_bytes()).to_vec(),
        Values::U8s(values) => vec![values[row]],
        Values::U16s(values) => values[row].to_be_bytes().to_vec(),
        Values::U32s(values) => values[row].to_be_bytes().to_vec(),
        Values::U64s(values) => values[row].to_be_bytes().to_vec(),
        Values::Variable(Variable { offsets, data }) => data[offsets[row] as usize..offsets[row + 1] as usize].to_vec(),
        Values::Fixed(data) => match data_type {
            DataType::FixedBytes(width) => data[row * width as usize..][..width as usize].to_vec(),
            _ => {
                let mut bytes: [u8; 16] = data[row * 16..][..16].try_into().expect("16 bytes");
                bytes.reverse();
                flip(bytes).to_vec()
            }
        },
        other => panic!("{other:?} cannot be keys of a map"),
    }
}

/// Keys as a column.
pub(super) fn decode(data_type: DataType, places: &[Vec<u8>]) -> Column {
    macro_rules! numbers {
        ($number:ty, $values:ident, $decode:expr) => {
            Values::$values(
                places
                    .iter()
                    .map(|p| <$number>::from_be_bytes($decode(p[..].try_into().expect("of its width"))))
                    .collect(),
            )
        };
    }
    let values = match data_type {
        DataType::Boolean => {
            let mut bitmap = vec![0; places.len().div_ceil(8)];
            places.iter().enumerate().for_each(|(row, place)| bits::put(&mut bitmap, row, place[0] != 0));
            Values::Booleans(bitmap)
        }
        DataType::Integer(integer) => match integer {
            IntegerType::S8 => numbers!(i8, S8s, flip),
            IntegerType::S16 => numbers!(i16, S16s, flip),
            IntegerType::S32 => numbers!(i32, S32s, flip),
            IntegerType::S64 => numbers!(i64, S64s, flip),
            IntegerType::U8 => numbers!(u8, U8s, same),
            IntegerType::U16 => numbers!(u16, U16s, same),
            IntegerType::U32 => numbers!(u32, U32s, same),
            IntegerType::U64 => numbers!(u64, U64s, same),
        },
        DataType::Timestamp | DataType::Duration => numbers!(i64, S64s, flip),
        DataType::Date => numbers!(i32, S32s, flip),
        DataType::FixedBytes(_) => Values::Fixed(places.concat()),
        DataType::Decimal(_) => {
            let little_endian = |place: &Vec<u8>| {
                let mut bytes = flip(<[u8; 16]>::try_from(&place[..]).expect("16 bytes"));
                bytes.reverse();
                bytes
            };
            Values::Fixed(places.iter().flat_map(little_endian).collect())
        }
        DataType::Text | DataType::Bytes => {
            let mut offsets = vec![0];
            places.iter().for_each(|place| offsets.push(offsets[offsets.len() - 1] + place.len() as i32));
            Values::Variable(Variable { offsets, data: places.concat() })
        }
        other => panic!("{other:?} cannot be the key of a map"),
    };
    Column { validity: None, values }
}

fn flip<const N: usize>(mut bytes: [u8; N]) -> [u8; N] {
    bytes[0] ^= 0x80;
    bytes
}

fn same<const N: usize>(bytes: [u8; N]) -> [u8; N] {
    bytes
}
