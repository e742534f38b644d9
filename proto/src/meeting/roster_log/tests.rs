//! Behaviour of the log, one file for each subject.

mod authority;
mod checkpoint_schedules;
mod checkpoints;
mod concurrency;
mod cost;
mod day;
mod equivocation;
mod schedules;
mod synchronisation;
mod world;
