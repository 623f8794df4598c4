//! The ten most requested paths of a window, from the requests that each path has had: each path comes once in a
//! window, as from a count by path.
use std::cmp::Reverse;
use wasmill_sdk::prelude::*;

const TOP: usize = 10;

#[derive(Record)]
pub struct Path<'a> {
    pub path: &'a str,
    pub hits: i64,
}

#[derive(Record, Clone, Debug, Default, PartialEq)]
pub struct Hits {
    pub path: String,
    pub hits: i64,
}

/// Most hits first, then by path.
#[derive(Record, Debug, Default, PartialEq)]
pub struct Top {
    pub top: Vec<Hits>,
}

pub struct TopPaths;

impl Aggregate for TopPaths {
    const SUMMARY: &'static str = "the ten paths with the most hits";
    type In<'a> = Path<'a>;
    type Acc = Top;
    type Out = Top;

    fn add(acc: &mut Top, row: Path<'_>) {
        acc.insert(row.path, row.hits);
    }

    fn merge(acc: &mut Top, other: Top) {
        other
            .top
            .iter()
            .for_each(|hits| acc.insert(&hits.path, hits.hits));
    }

    fn result(acc: &Top, _: &Window) -> Top {
        Top {
            top: acc.top.clone(),
        }
    }
}

impl Top {
    fn insert(&mut self, path: &str, hits: i64) {
        let order = (Reverse(hits), path);
        let at = self
            .top
            .partition_point(|other| (Reverse(other.hits), &*other.path) < order);
        if at < TOP {
            self.top.truncate(TOP - 1);
            self.top.insert(
                at,
                Hits {
                    path: path.to_owned(),
                    hits,
                },
            );
        }
    }
}

export!(aggregate: TopPaths);

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::DriveAggregate;

    #[test]
    fn the_top_of_both_halves_is_the_top() {
        let paths: Vec<String> = (0..30).map(|path| format!("/{path:02}")).collect();
        let row = |path: usize| Path {
            path: &paths[path],
            hits: path as i64 / 2,
        };
        let mut half = DriveAggregate::<TopPaths>::new();
        half.add((0..30).step_by(2).map(row));
        let mut other = DriveAggregate::new();
        other.add((0..30).skip(1).step_by(2).map(row));
        half.merge(other);
        let top = half.result(Timestamp(0), Timestamp(1)).top;
        let top: Vec<_> = top.iter().map(|hits| (&*hits.path, hits.hits)).collect();
        assert_eq!(top[..3], [("/28", 14), ("/29", 14), ("/26", 13)]);
        assert_eq!((top.len(), top[9]), (10, ("/21", 10)));
    }
}
