#![cfg_attr(fuzzing, no_main)]

jobbers_fuzz::target!(jobbers_redis::fuzz::cursors);
