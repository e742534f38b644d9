//! Behaviour of the log, one file for each subject.

mod authority;
mod concurrency;
mod cost;
mod equivocation;
mod schedules;
mod synchronisation;
mod world;
