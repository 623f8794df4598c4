//! What each of them does.
use super::*;

/// Whether an operator's output port has a text column to lie about.
pub fn returns_text(name: &str) -> bool {
    ["flood", "offsets-", "short-", "invalid-", "wrong-"].iter().any(|prefix| name.starts_with(prefix))
}

/// The output of rows that are kept, with their text if the port has one.
pub fn output(origins: Vec<u32>, text: Option<Vec<String>>) -> Output {
    let columns = text.map(|text| {
        let mut offsets = vec![0];
        text.iter().fold(0, |end, text| {
            offsets.push(end + text.len() as i32);
            end + text.len() as i32
        });
        Column { validity: None, values: Values::Variable(Variable { offsets, data: text.concat().into_bytes() }) }
    });
    Output {
        port: 0,
        rows: origins.len() as u32,
        origins: Some(origins),
        times: None,
        columns: columns.into_iter().collect(),
    }
}

/// Refuses so many of 100 rows, by their values.
pub fn reject(step: &mut Step, values: &[i64], percent: u64) {
    let bad = |value: i64| value.unsigned_abs() % 100 < percent;
    let origins = (0..values.len() as u32).filter(|row| !bad(values[*row as usize])).collect();
    step.outputs = vec![output(origins, None)];
    let rejected = values.iter().enumerate().filter(|(_, value)| bad(**value));
    step.rejected =
        rejected.map(|(row, value)| Rejection { row: row as u32, reason: format!("refused: {value}") }).collect();
}

/// Does what the operator is there for.
pub fn misbehave(name: &str, step: &mut Step, batch: &Batch) {
    let timer = |group, timer| TimerSettings { groups: vec![group], timers: vec![timer], times: vec![0] };
    match name {
        "trap" => panic!("as configured"),
        "loop" => loop {
            std::hint::black_box(());
        },
        "exhaust-memory" => {
            let mut hoard = Vec::new();
            loop {
                hoard.push(vec![1u8; 1 << 20]);
                std::hint::black_box(&hoard);
            }
        }
        "overflow-stack" => {
            std::hint::black_box(recurse(std::hint::black_box(1)));
        }
        "stall" => step.consumed = 0,
        "overconsume" => step.consumed = batch.rows + 1,
        "origins-beyond" => {
            step.outputs = vec![output(vec![batch.rows], None)];
        }
        "port-beyond" => step.outputs.push(Output { port: 7, ..output(vec![0], None) }),
        "group-beyond" => step.timers_set = timer(batch.groups, 0),
        "timer-beyond" => step.timers_set = timer(0, 9),
        "state-short" => {
            let values = Column { validity: None, values: Values::Fixed(vec![0; 8 * (batch.groups as usize - 1)]) };
            step.states.push(GroupState { state: 0, values });
        }
        lie if lie.starts_with("state-") => reach_state(lie, step, batch),
        lie => {
            let text = |offsets: &[i32], data: &[u8]| {
                Values::Variable(Variable { offsets: offsets.to_vec(), data: data.to_vec() })
            };
            let (rows, values) = match lie {
                "flood" => (1, text(&[0, 100 << 20], &vec![b'x'; 100 << 20])),
                "offsets-decrease" => (2, text(&[0, 3, 1], b"abc")),
                "offsets-beyond" => (2, text(&[0, 1, 9], b"abc")),
                "short-column" => (2, text(&[0, 1], b"a")),
                "invalid-utf8" => (1, text(&[0, 2], &[0xff, 0xfe])),
                "wrong-layout" => (1, Values::S64s(vec![1])),
                other => panic!("no operator `{other}`"),
            };
            let columns = vec![Column { validity: None, values }];
            step.outputs = vec![Output { port: 0, rows, origins: Some(vec![0; rows as usize]), times: None, columns }];
        }
    }
}

/// State 0 is a value, 1 a map from s64 to bytes, 2 a list of s64.
fn reach_state(name: &str, step: &mut Step, batch: &Batch) {
    let column = |values| Column { validity: None, values };
    let number = || column(Values::S64s(vec![7]));
    let bytes = |len: usize| column(Values::Variable(Variable { offsets: vec![0, len as i32], data: vec![7; len] }));
    match name {
        "state-no-value" => step.states.push(GroupState { state: 1, values: column(Values::Nulls) }),
        "state-beyond" => drop(state::get(9, &[0], &[number()])),
        "state-wrong-kind" => state::append(1, &[0], &bytes(3)),
        "state-group-beyond" => state::clear(2, &[batch.groups]),
        "state-lengths" => state::put(1, &[0], &[column(Values::S64s(vec![1, 2]))], &bytes(3)),
        "state-key-type" => drop(state::get(1, &[0], &[bytes(8)])),
        "state-no-element" => state::append(2, &[0], &column(Values::Nulls)),
        "state-large-value" => state::put(1, &[0], &[number()], &bytes(2 << 20)),
        other => panic!("no operator `{other}`"),
    }
}

#[inline(never)]
fn recurse(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    if depth == u64::MAX { 0 } else { recurse(depth + 1) + frame[7] }
}
