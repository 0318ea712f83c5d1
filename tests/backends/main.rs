//! One behaviour suite for every backend, then what only files have: locks, permissions, full disks.
//!
//! `ops` and its like hold functions over a [`medium::Medium`]; this file runs each of them on every medium.

mod child;
mod crowded;
mod damage;
mod directory;
mod full;
mod handles;
#[macro_use]
mod lists;
mod locks;
mod medium;
mod native;
mod ops;
mod syscalls;
mod volume;

/// Runs each function of a module for every medium, as tests `memory::name` and `file::name`.
macro_rules! on_every_medium {
    ($module:ident: $($name:ident,)*) => {
        mod memory {
            $(#[test] fn $name() { crate::$module::$name::<crate::medium::InMemory>(); })*
        }
        mod file {
            $(#[test] fn $name() { crate::$module::$name::<crate::native::InFiles>(); })*
        }
    };
}

/// The same, and for the simulated disk, as tests `sim::name`.
macro_rules! on_every_medium_and_sim {
    ($module:ident: $($name:ident,)*) => {
        on_every_medium! { $module: $($name,)* }
        #[cfg(feature = "sim")]
        mod sim {
            $(#[test] fn $name() { crate::$module::$name::<crate::native::InSim>(); })*
        }
    };
}

mod every_backend {
    every_backend! { on_every_medium_and_sim }
}

mod every_real_backend {
    every_real_backend! { on_every_medium }
}

mod every_volume {
    every_volume! { on_every_medium_and_sim }
}

mod every_damaged_volume {
    every_damaged_volume! { on_every_medium }
}

/// What takes several threads, which a browser's worker has not.
mod every_backend_with_threads {
    on_every_medium_and_sim! { ops:
        threads_on_different_areas_do_not_disturb_each_other,
    }
}

mod every_volume_with_threads {
    on_every_medium_and_sim! { volume:
        concurrent_writers_lose_nothing,
    }
}
