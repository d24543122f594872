//! What can be broken, and which scenario has to notice it.

/// The lies, each with its doc line, the scenario named for it, and whether random histories of calls notice it as well.
macro_rules! lies {
    ($(#[doc = $words:literal] $name:ident: $scenario:ident, $histories:ident;)+) => {
        /// What is broken.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Sabotage {
            $(#[doc = $words] $name,)+
        }

        impl Sabotage {
            /// Each of them.
            pub const ALL: &'static [Sabotage] = &[$(Sabotage::$name),+];

            /// What is broken, in words.
            pub const fn words(self) -> &'static str {
                match self {
                    $(Sabotage::$name => $words,)+
                }
            }

            /// The scenario that has to notice it.
            pub const fn scenario(self) -> &'static str {
                match self {
                    $(Sabotage::$name => stringify!($scenario),)+
                }
            }

            /// Whether the differential test has to notice it.
            pub const fn histories(self) -> Histories {
                match self {
                    $(Sabotage::$name => Histories::$histories,)+
                }
            }
        }
    };
}

/// Whether random histories of calls notice a broken promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Histories {
    /// They do.
    Notice,
    /// They hold no such case: a crash, a cut, a race, a second namespace, a lost future, bytes and rates that are out of the ordinary.
    Miss,
}

lies! {
    /// An Update, a beat or a mark is applied whatever revision it expects.
    NoFence: a_stale_revision_is_refused, Notice;
    /// An older claim passes for a newer one of the same worker.
    FencedByName: the_owner_of_an_older_claim_is_fenced, Notice;
    /// Of a revision the count is compared, and not the nonce.
    NonceIgnored: a_revision_of_a_lost_future_is_refused, Miss;
    /// An Update pays no heed to a timer that was moved on.
    LapsedIgnored: a_rescue_loses_to_a_beat, Notice;
    /// An Update pays no heed to a mark that its writer has not seen.
    MarkIgnored: a_change_that_has_not_seen_the_mark_is_refused, Notice;
    /// A commit is applied operation by operation, up to the first that is refused.
    HalfApplied: a_refused_commit_changes_nothing, Notice;
    /// The commits of one call after a refused one are dropped.
    NeighboursDropped: commits_of_one_call_are_independent, Notice;
    /// A commit is sent again within the driver, and the second answer is the caller's.
    BlindRetry: a_commit_applies_all_of_its_operations, Notice;
    /// An insert takes what stands there away.
    InsertOverwrites: an_insert_of_a_taken_id_is_refused, Notice;
    /// An insert replaces an ended job at whatever revision it stands.
    ReplacesAnyRevision: an_insert_over_another_revision_is_refused, Notice;
    /// An end that is refused releases its children all the same.
    ReleasedByARefusedEnd: a_stale_end_releases_nobody, Notice;
    /// An end that is sent again releases its children again.
    ReleasedByAResend: an_end_that_is_sent_again_releases_nobody_twice, Miss;
    /// Each release counts twice.
    ReleaseCountedTwice: a_release_counts_in_every_state_but_the_ends, Notice;
    /// The end of a failed parent is not counted.
    FailedReleaseIgnored: a_release_counts_how_a_parent_ended, Notice;
    /// Edges that are added ahead are not counted.
    EdgesAheadIgnored: an_edge_added_ahead_keeps_the_child_waiting, Notice;
    /// A release brings no timer.
    ReleaseTimerIgnored: a_release_sets_the_timer_of_a_child_that_turns_ready, Notice;
    /// A release claims nothing.
    InlineClaimIgnored: a_child_is_claimed_inline, Notice;
    /// What is handed back goes to the back.
    PlaceIgnored: a_job_handed_back_goes_to_the_front, Notice;
    /// A beat renews the lease of whoever runs the job now.
    BeatExtendsForeignLease: a_beat_after_a_rescue_is_refused, Notice;
    /// A beat of an attempt that was rescued is answered as if it had renewed something.
    BeatAfterRescueApplied: a_beat_of_a_job_that_does_not_run_is_refused, Notice;
    /// The bytes of a part are cut at 64 KiB.
    PartsCut: a_record_comes_back_as_it_was_written, Miss;
    /// A load shows what stood there before the last commit.
    StaleRead: a_load_sees_what_was_acknowledged, Notice;
    /// What was due once is never due again.
    DueForgets: a_due_job_is_hidden_from_other_schedulers, Notice;
    /// What is due comes to every scheduler.
    DueNotHidden: many_schedulers_share_the_due_jobs, Notice;
    /// What is due comes the latest first.
    DueUnordered: due_jobs_come_the_earliest_first, Notice;
    /// All that is due comes at once, however much it is.
    DueUnbounded: a_crowd_of_due_jobs_comes_in_bounded_batches, Notice;
    /// Nobody is told when the next job is due.
    DueNextForgotten: due_says_when_the_next_comes, Notice;
    /// A timer that was cleared still comes.
    ClearedTimerComes: a_cleared_timer_leaves_nothing_behind, Notice;
    /// The server's clock decides, whatever time the caller says that it is.
    ServersClock: no_call_reads_a_clock_of_its_own, Notice;
    /// A worker owns nothing.
    OwnedForgets: a_worker_finds_what_it_owns, Notice;
    /// A page of a scan starts behind as many records as were seen, in the order of their timers.
    ScanByOffset: a_scan_goes_on_among_changes, Miss;
    /// A page of a list starts behind as many records as were seen.
    ListByOffset: a_listing_goes_on_among_changes, Miss;
    /// The counts are those of the last time that somebody asked.
    CountsLag: counts_follow_every_change, Notice;
    /// Pruning pays no heed to the time.
    PruneEverything: what_ended_later_is_kept, Notice;
    /// Pruning forgets step 0 of a run before its other steps.
    PruneStep0First: step_0_goes_last, Notice;
    /// A document is written whatever stands there.
    DocumentsUnfenced: a_stale_write_of_a_document_is_refused, Notice;
    /// A document is kept as text.
    DocumentsAreText: names_and_bodies_of_documents_are_kept_as_they_are, Miss;
    /// A document's key lacks the namespace.
    NamespaceIgnored: namespaces_do_not_see_each_other, Miss;
    /// What is pulled is acked at once, before its job is claimed: a crash loses it.
    PullAcks: what_is_not_acked_comes_back_in_time, Notice;
    /// What a dropped pull had taken is gone.
    DroppedPullLoses: what_a_dropped_pull_had_taken_comes_back, Miss;
    /// A pulled delivery is not hidden.
    PullNotHidden: a_pulled_delivery_is_hidden_until_it_comes_back, Notice;
    /// A pull of a queue serves those whose names start with its name.
    QueuePrefix: a_queue_serves_no_other_queue, Notice;
    /// An ack is thrown away.
    AckIgnored: what_is_acked_never_comes_back, Notice;
    /// An ack with an unknown receipt takes another delivery away.
    AckTakesAnother: unknown_receipts_are_ignored, Miss;
    /// What is given back while it is still held is thrown away as a duplicate.
    GivenBackIsLost: a_delivery_is_given_back_by_push_and_ack, Notice;
    /// A push is answered before it is stored: a restart loses it.
    PushForgottenAtRestart: what_was_acknowledged_survives_a_crash, Miss;
    /// Each delivery of a job is claimed, also when another one was.
    EachDeliveryClaims: a_take_claims_a_job_once, Notice;
    /// A claim of what was pulled before another one that is claimed already is refused, as if it were done.
    ClaimsInOrder: what_was_pulled_is_claimed_in_any_order, Miss;
    /// A pull over a cut connection finds an empty queue.
    CutIsEmpty: a_cut_connection_is_no_empty_answer, Miss;
    /// The error of a commit whose answer was lost says that it was not applied.
    CutHidesOutcome: an_error_says_whether_a_commit_may_have_been_applied, Miss;
    /// After a restart every revision starts anew.
    RevisionsStartAnew: counts_go_on_after_a_reopen, Miss;
    /// It claims `durable`, and starts empty.
    DurableClaimed: what_was_acknowledged_survives_a_reopen, Miss;
    /// It claims `multi-process`, and what is opened second is another one.
    MultiProcessClaimed: a_namespace_may_be_opened_twice, Miss;
    /// It claims `atomic-dispatch`, and enqueues nothing.
    AtomicDispatchClaimed: who_dispatches_a_job_that_turns_ready, Notice;
    /// It claims `fifo`, and delivers the latest first.
    FifoClaimed: deliveries_come_in_the_order_of_their_pushes, Notice;
    /// It claims `priority`, and knows one level.
    PriorityClaimed: urgent_deliveries_come_before_others, Notice;
    /// It claims `list`, and refuses to.
    ListClaimed: a_listing_comes_in_the_order_of_its_state, Notice;
    /// A bound admits one more.
    OneMore: a_concurrency_bound_is_never_exceeded, Notice;
    /// A bound admits whoever asks while another one is being asked for.
    OneMoreInARace: a_concurrency_bound_holds_under_a_race, Miss;
    /// A hold never runs out: the permit of a dead holder is lost.
    HoldForever: a_hold_runs_out, Notice;
    /// What is given back stays taken.
    GiveBackForgets: a_permit_goes_to_the_longest_waiter, Notice;
    /// Asking again spends again.
    SpendsTwice: asking_again_spends_nothing_twice, Notice;
    /// A request on two keys takes what it gets of them.
    HalfGranted: a_request_gets_all_its_permits_or_none, Notice;
    /// A period is rounded to whole milliseconds a permit.
    RateRounded: a_rate_gives_all_that_it_promises, Miss;
    /// The bounds that come last win, whatever their version.
    LastBoundsWin: the_higher_version_of_bounds_wins, Notice;
    /// A key is never closed.
    ClosedIgnored: a_closed_key_admits_nobody, Notice;
}
