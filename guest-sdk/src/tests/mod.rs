//! Tests of what the parts do together, through the test driver.

mod broadcast;
mod columns;
mod kinds;
mod rows;
mod values;
