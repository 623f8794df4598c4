//! From the types that an author exports to the functions that a component has.

use crate::aggregate::{self, Aggregate};
use crate::bindings::exports::wasmill::operator as exports;
use crate::bindings::wasmill::operator::calls::{Batch, Due, Step};
use crate::bindings::wasmill::operator::columns::Column;
use crate::bindings::wasmill::operator::descriptors::{Descriptor, InputNeed, Kind, OperatorInfo};
use crate::bindings::wasmill::operator::schemas;
use crate::error::Error;
use crate::process::{Broadcast, Input, Instance, Key, Process};
use crate::schema::Schema;
use std::cell::RefCell;

/// Makes operators the ones of this component: `export!(process: SpendGuard, Router as "route"; aggregate: Mean);`
/// `broadcast: ..` are processes with a broadcast input.
///
/// An operator is named by its type, in kebab case, unless `as` names it. Once in a crate.
#[macro_export]
macro_rules! export {
    ($($kind:ident: $($operator:ty $(as $name:literal)?),+ $(,)?);+ $(;)?) => {
        #[allow(unsafe_code)]
        const _: () = {
            pub struct Component;
            impl $crate::__private::Component for Component {
                fn operators() -> ::std::vec::Vec<$crate::__private::Operator> {
                    ::std::vec![$($($crate::__operator!($kind, $operator $(, $name)?)),+),+]
                }
            }
            #[cfg(target_arch = "wasm32")]
            $crate::bindings::export_operators!(Component with_types_in $crate::bindings);
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __operator {
    (process, $operator:ty $(, $name:literal)?) => {
        $crate::__private::Operator::process::<$operator>(&[::core::stringify!($operator) $(, $name)?])
    };
    (broadcast, $operator:ty $(, $name:literal)?) => {
        $crate::__private::Operator::broadcast::<$operator>(&[::core::stringify!($operator) $(, $name)?])
    };
    (aggregate, $operator:ty $(, $name:literal)?) => {
        $crate::__private::Operator::aggregate::<$operator>(&[::core::stringify!($operator) $(, $name)?])
    };
    ($kind:ident, $operator:ty $(, $name:literal)?) => {
        ::core::compile_error!("operators are `process: ..`, `broadcast: ..` or `aggregate: ..`")
    };
}

/// The operators of a component.
#[allow(missing_docs)]
pub trait Component: 'static {
    fn operators() -> Vec<Operator>;
}

/// One of them.
pub struct Operator {
    info: OperatorInfo,
    open: fn(config: &str, inputs: &[Schema]) -> OpenResult,
}

#[allow(missing_docs)]
impl Operator {
    pub fn process<P: Process>(names: &[&str]) -> Self {
        Self {
            info: process_info::<P>(names),
            open: |config, inputs| {
                let (instance, descriptor) = Instance::<P>::open(config, inputs)?;
                Ok((Opened::Process(Box::new(instance)), descriptor))
            },
        }
    }

    pub fn broadcast<P: Broadcast>(names: &[&str]) -> Self {
        let mut info = process_info::<P>(names);
        info.inputs.push(need::<P::BroadcastIn<'static>>("broadcast"));
        Self {
            info,
            open: |config, inputs| {
                let (instance, descriptor) = Instance::<P>::open_with_broadcast(config, inputs)?;
                Ok((Opened::Process(Box::new(instance)), descriptor))
            },
        }
    }

    pub fn aggregate<A: Aggregate>(names: &[&str]) -> Self {
        Self {
            info: info::<A::In<'static>>(names, Kind::Aggregate, A::SUMMARY),
            open: |_, inputs| Ok((Opened::aggregate::<A>(), aggregate::open::<A>(inputs)?)),
        }
    }
}

fn process_info<P: Process>(names: &[&str]) -> OperatorInfo {
    let mut key = Schema::default();
    P::Key::describe(&mut key);
    let info = info::<P::In<'static>>(names, Kind::Process, P::SUMMARY);
    OperatorInfo { keyed: P::Key::KEYED, key: key.to_wire(), ..info }
}

fn need<I: Input<'static>>(name: &str) -> InputNeed {
    let mut need = Schema::default();
    I::need(&mut need);
    InputNeed { name: name.to_owned(), columns: need.to_wire(), generic: I::GENERIC }
}

fn info<I: Input<'static>>(names: &[&str], kind: Kind, summary: &str) -> OperatorInfo {
    let name = match names {
        [_, name] => (*name).to_owned(),
        _ => kebab(names[0]),
    };
    OperatorInfo {
        name,
        kind,
        summary: summary.to_owned(),
        inputs: vec![need::<I>("input")],
        keyed: false,
        key: Schema::default().to_wire(),
        config_schema: None,
    }
}

/// `guards::SpendGuard` to `spend-guard`.
fn kebab(path: &str) -> String {
    let name = path.split('<').next().and_then(|path| path.rsplit("::").next()).unwrap_or(path).trim();
    let mut kebab = String::new();
    for (at, character) in name.char_indices() {
        if character.is_uppercase() && at > 0 {
            kebab.push('-');
        }
        kebab.extend(character.to_lowercase());
    }
    kebab
}

type OpenResult = Result<(Opened, Descriptor), Error>;

/// The operator that this instance of the component is.
enum Opened {
    Process(Box<dyn OpenedProcess>),
    Aggregate {
        add: fn(&Column, &[u32], &[Column]) -> Column,
        merge: fn(&Column, &[u32], u32) -> Column,
        finish: fn(&Column, &[i64], &[i64]) -> Vec<Column>,
        migrate: fn(u32, &[u8]) -> Result<Vec<u8>, Error>,
    },
}

impl Opened {
    fn aggregate<A: Aggregate>() -> Self {
        Self::Aggregate {
            add: aggregate::add::<A>,
            merge: aggregate::merge::<A>,
            finish: aggregate::finish::<A>,
            migrate: A::migrate,
        }
    }
}

trait OpenedProcess {
    fn on_batch(&mut self, batch: Batch) -> Step;
    fn on_timers(&mut self, due: Due) -> Step;
    fn migrate(&self, state: &str, from_version: u32, value: &[u8]) -> Result<Vec<u8>, Error>;
}

impl<P: Process> OpenedProcess for Instance<P> {
    fn on_batch(&mut self, batch: Batch) -> Step {
        self.on_batch(batch)
    }
    fn on_timers(&mut self, due: Due) -> Step {
        self.on_timers(due)
    }
    fn migrate(&self, state: &str, from_version: u32, value: &[u8]) -> Result<Vec<u8>, Error> {
        self.operator().migrate(state, from_version, value)
    }
}

thread_local! {
    static OPENED: RefCell<Option<Opened>> = const { RefCell::new(None) };
}

fn opened<R>(call: impl FnOnce(&mut Opened) -> R) -> R {
    OPENED.with_borrow_mut(|opened| call(opened.as_mut().expect("the host opens an operator first")))
}

fn process<R>(call: impl FnOnce(&mut dyn OpenedProcess) -> R) -> R {
    opened(|opened| match opened {
        Opened::Process(process) => call(&mut **process),
        Opened::Aggregate { .. } => panic!("the operator is an aggregate"),
    })
}

impl<C: Component> exports::plugin::Guest for C {
    fn describe() -> Vec<OperatorInfo> {
        C::operators().into_iter().map(|operator| operator.info).collect()
    }

    fn open(operator: String, config: String, inputs: Vec<schemas::Schema>) -> Result<Descriptor, String> {
        let operators = C::operators();
        let Some(found) = operators.iter().find(|candidate| candidate.info.name == operator) else {
            let names: Vec<_> = operators.iter().map(|operator| &*operator.info.name).collect();
            return Err(format!("no operator `{operator}`, only `{}`", names.join("`, `")));
        };
        let inputs: Vec<_> = inputs.into_iter().map(Schema::from_wire).collect();
        let (instance, descriptor) = (found.open)(&config, &inputs).map_err(|error| error.to_string())?;
        OPENED.set(Some(instance));
        Ok(descriptor)
    }

    fn migrate(state: String, from_version: u32, value: Vec<u8>) -> Result<Vec<u8>, String> {
        opened(|opened| match opened {
            Opened::Process(process) => process.migrate(&state, from_version, &value),
            Opened::Aggregate { migrate, .. } => migrate(from_version, &value),
        })
        .map_err(|error| error.to_string())
    }
}

impl<C: Component> exports::process::Guest for C {
    fn on_batch(batch: Batch) -> Step {
        process(|process| process.on_batch(batch))
    }

    fn on_timers(due: Due) -> Step {
        process(|process| process.on_timers(due))
    }
}

impl<C: Component> exports::aggregate::Guest for C {
    fn add(accumulators: Column, row_groups: Vec<u32>, _times: Vec<i64>, columns: Vec<Column>) -> Column {
        opened(|opened| match opened {
            Opened::Aggregate { add, .. } => add(&accumulators, &row_groups, &columns),
            Opened::Process(_) => no_aggregate(),
        })
    }

    fn merge(accumulators: Column, results: Vec<u32>, size: u32) -> Column {
        opened(|opened| match opened {
            Opened::Aggregate { merge, .. } => merge(&accumulators, &results, size),
            Opened::Process(_) => no_aggregate(),
        })
    }

    fn finish(accumulators: Column, starts: Vec<i64>, ends: Vec<i64>) -> Vec<Column> {
        opened(|opened| match opened {
            Opened::Aggregate { finish, .. } => finish(&accumulators, &starts, &ends),
            Opened::Process(_) => no_aggregate(),
        })
    }
}

fn no_aggregate() -> ! {
    panic!("the operator is no aggregate")
}
