//! The wasmtime engines of this process, and the clock that interrupts what runs too long.

use std::sync::OnceLock;
use std::time::Duration;

use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// Instances of the process at once: each takes 4 mappings of the kernel's 65,530.
const INSTANCES_MAX: u32 = 4_096;

/// The largest memory that a job may give a plugin.
pub const MEMORY_BYTES_MAX: usize = 1 << 30;

/// How often a running call is looked at; a limit on its CPU time is as exact as this.
const TICK: Duration = Duration::from_millis(10);

/// The engine whose code can be interrupted or, for trusted code, the one without (byte loops run a third faster).
pub fn engine(trusted: bool) -> wasmtime::Result<&'static Engine> {
    static INTERRUPTIBLE: OnceLock<Engine> = OnceLock::new();
    static TRUSTED: OnceLock<Engine> = OnceLock::new();
    let cell = if trusted { &TRUSTED } else { &INTERRUPTIBLE };
    if let Some(engine) = cell.get() {
        return Ok(engine);
    }
    let engine = Engine::new(&config(trusted))?;
    if !trusted {
        tick(engine.clone())?;
    }
    Ok(cell.get_or_init(|| engine))
}

fn config(trusted: bool) -> Config {
    let mut config = Config::new();
    // The default taxes every call for a feature that operators do not have (wasm-abi: x3-4 a call).
    config.concurrency_support(false);
    config.epoch_interruption(!trusted);
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(INSTANCES_MAX)
        .total_core_instances(4 * INSTANCES_MAX)
        .total_memories(INSTANCES_MAX)
        .total_tables(2 * INSTANCES_MAX)
        .max_memory_size(MEMORY_BYTES_MAX)
        .linear_memory_keep_resident(0);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// The thread ends when the engine's last user has gone: engines live as long as the process.
fn tick(engine: Engine) -> wasmtime::Result<()> {
    let weak = engine.weak();
    drop(engine);
    std::thread::Builder::new().name("wasmill-epochs".to_owned()).spawn(move || {
        while let Some(engine) = weak.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(TICK);
        }
    })?;
    Ok(())
}
