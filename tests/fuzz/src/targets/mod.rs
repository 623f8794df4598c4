pub mod answer;
pub mod chunk;
pub mod component;
pub mod events;
pub mod job_file;
pub mod key;
pub mod manifest;
pub mod type_name;

use wasmill::model::schema::Field;
use wasmill::model::type_name::parse_field;

/// The field `name` of the type that `text` names.
fn field(name: &str, text: &str) -> Field {
    parse_field(name, text).expect("it is a type")
}
