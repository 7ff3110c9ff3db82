/// How durable a write is before it is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// The database has it. It survives a killed process of ours. A power cut, or a crash of the database's server, may lose
    /// the newest of these writes. For what is done again without harm alone: upload sessions, claims, times of last use, what became of
    /// an attempt that is made once more, what is removed in the background.
    Process,
    /// It is on the disk, or as durable as the server is set to. What holds if nothing else is said.
    #[default]
    Full,
}
