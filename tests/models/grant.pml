/* A grant, which its client may use at any moment without a word, is taken back without asking it: pushing.rs,
   IndexReader::{pin_granted, pin_own}, page/ring.rs, Store::{take_back, told}, Residence::{grant, revoke, keep, publish}.

   A put claims its grant like a get: claim, full fence, commit word again. It copies, tells on the ring, and clears the claim
   last. A create tells before it writes, and needs no claim behind that; its seal or abort is told too. The daemon marks the
   grant as revoking, fences, looks for the claim, and only then drains the ring. An id that somebody else took makes what is
   told of it vain: its slot stays granted, and is not taken back before its client is done with it. Having put, the client
   may read its object by its slot, whether the daemon has heard of it or not.

   One client, one slot, a ring of two entries; a free slot is granted again with its next generation, and between two grants
   its memory is somebody else's.

   Faults: NO_CLAIM NO_CLAIM_FENCE NO_SCAN_FENCE NO_RECHECK NO_MARK NO_SCAN NO_DRAIN DRAIN_FIRST CLEAR_FIRST
   CREATED_TAKEN_BACK VAIN_FORGOTTEN SAME_GENERATION OWN_NO_RECHECK; with PSO: RELAXED_TAIL RELAXED_CLEAR */

#define WORDS 7
#define PROCESSORS 2
#define DEPTH 4
#include "memory.pml"

#define CLIENT 0
#define DAEMON 1
#define COMMIT 0           /* generation * 8 + state */
#define CELL 1             /* 0, or the generation claimed */
#define QUEUE 2            /* the last grant given: its number * 8 + generation */
#define HEAD 3             /* entries the daemon has read */
#define TAIL 4             /* entries told */
#define ENTRY(number) (5 + (number) % RING)
#define RING 2

#define FREE 0
#define GRANTED 1
#define REVOKING 2
#define SEALED 3
#define DOOMED 4
#define CREATED 5          /* in the daemon's own table only */
#define COMMITTED(generation, state) ((generation) * 8 + (state))

#define PUT 0
#define CREATE 1
#define SEAL 2
#define ABORT 3
#define TOLD(generation, kind) ((generation) * 4 + (kind))

#define GRANTS 3
#define WELCOME(kind) (slot == GRANTED && (kind < SEAL || vain_create) || slot == CREATED && kind >= SEAL)
#define SHOWS_MINE (commit == COMMITTED(grant % 8, GRANTED) || commit == COMMITTED(grant % 8, SEALED))

byte owner;                /* the number of the grant whose bytes the extent holds; 0: somebody else's */
bool done[GRANTS + 1];     /* by number: its put, or its seal, has returned */
bool taken_back[GRANTS + 1], vain[GRANTS + 1];
bool extent_is_mine = true, done_is_kept = true, entry_is_welcome = true;

inline tell(kind) {
    tail - memory[HEAD] < RING;
    tail++;
    store(CLIENT, ENTRY(tail - 1), TOLD(grant % 8, kind));
#ifdef RELAXED_TAIL
    store(CLIENT, TAIL, tail)
#else
    store_release(CLIENT, TAIL, tail)
#endif
}

inline clear() {
#ifdef RELAXED_CLEAR
    store(CLIENT, CELL, 0);
#else
    store_release(CLIENT, CELL, 0);
#endif
    fence(CLIENT)
}

/* The first byte and the last one; anything may happen between. */
inline touch_bytes() {
    must(extent_is_mine, owner == grant / 8);
    must(extent_is_mine, owner == grant / 8)
}

/* An object of one's own, that the index may not show yet. */
inline read_own() {
    load(CLIENT, COMMIT, commit);
    if
    :: !SHOWS_MINE
    :: else ->
        store(CLIENT, CELL, grant % 8);
        fence(CLIENT);
#ifndef OWN_NO_RECHECK
        load(CLIENT, COMMIT, commit);
#endif
        if
        :: SHOWS_MINE -> touch_bytes()
        :: else
        fi;
        clear()
    fi
}

proctype Client() {
    byte grant = 0, commit = 0, tail = 0;
    bool sealed = false;
end:do
    ::  atomic { memory[QUEUE] != grant -> grant = memory[QUEUE] };
#ifndef NO_CLAIM
        store(CLIENT, CELL, grant % 8);
#ifndef NO_CLAIM_FENCE
        fence(CLIENT);
#endif
#endif
#ifdef NO_RECHECK
        commit = COMMITTED(grant % 8, GRANTED);
#else
        load(CLIENT, COMMIT, commit);
#endif
        if
        :: commit != COMMITTED(grant % 8, GRANTED) -> clear()
        :: else ->
            if
            ::  touch_bytes();
#ifdef CLEAR_FIRST
                clear();
#endif
                tell(PUT);
                sealed = true;
                clear()
            ::  tell(CREATE);
                clear();
                touch_bytes();
                if
                :: tell(SEAL); sealed = true
                :: tell(ABORT)
                fi;
                fence(CLIENT)
            fi
        fi;
        if
        :: sealed ->
            d_step { must(done_is_kept, !taken_back[grant / 8] || vain[grant / 8]); done[grant / 8] = true };
            read_own()
        :: else
        fi;
        sealed = false;
        commit = 0
    od
}

inline set_commit(state) {
    store_release(DAEMON, COMMIT, COMMITTED(generation, state))
}

/* The slot and its extent are free, and somebody else's at once. */
inline free() {
    d_step {
        owner = 0;
        vain_create = false;
#ifndef SAME_GENERATION
        generation++;
#endif
        slot = FREE
    };
    set_commit(FREE)
}

inline drain() {
    load(DAEMON, TAIL, tail);
    do
    :: head < tail ->
        load(DAEMON, ENTRY(head), entry_read);
        head++;
        must(entry_is_welcome, entry_read / 4 == generation && WELCOME(entry_read % 4));
        if
        :: entry_read % 4 == PUT -> slot = SEALED; set_commit(SEALED)
        :: entry_read % 4 == CREATE -> slot = CREATED
        /* Somebody else has the id. */
        :: entry_read % 4 == PUT -> vain[number] = true
        :: entry_read % 4 == CREATE ->
            vain[number] = true;
#ifndef VAIN_FORGOTTEN
            vain_create = true
#endif
        :: entry_read % 4 >= SEAL && slot == GRANTED -> vain_create = false
        :: entry_read % 4 == SEAL && slot == CREATED -> slot = SEALED; set_commit(SEALED)
        :: entry_read % 4 == ABORT && slot == CREATED -> free()
        fi
    :: else -> break
    od;
    store_release(DAEMON, HEAD, head);
    entry_read = 0
}

inline scan() {
    load(DAEMON, CELL, entry_read);
    claimed = (entry_read == generation);
    entry_read = 0
}

inline fence_and_scan() {
#ifndef NO_SCAN_FENCE
    fence(DAEMON);
#endif
#ifndef NO_SCAN
    scan()
#endif
}

proctype Daemon() {
    byte slot = FREE, generation = 1, number = 0, head = 0, tail = 0, entry_read = 0;
    bool claimed = false, vain_create = false;
end:do
    ::  drain()
    :: slot == FREE && number < GRANTS ->
        d_step { slot = GRANTED; number++; owner = number };
        set_commit(GRANTED);
        store_release(DAEMON, QUEUE, number * 8 + generation)
    :: slot == GRANTED ->
#ifdef DRAIN_FIRST
        drain();
#endif
#ifndef NO_MARK
        set_commit(REVOKING);
#endif
        fence_and_scan();
#if !defined(DRAIN_FIRST) && !defined(NO_DRAIN)
        drain();
#endif
        if
        :: slot == GRANTED && (claimed || vain_create) -> set_commit(GRANTED)
#ifdef CREATED_TAKEN_BACK
        :: (slot == GRANTED || slot == CREATED) && !claimed && !vain_create ->
#else
        :: slot == GRANTED && !claimed && !vain_create ->
#endif
            d_step { must(done_is_kept, !done[number] || vain[number]); taken_back[number] = true };
            free()
        /* It was told of by then; the commit word changes when it is sealed or given up. */
#ifdef CREATED_TAKEN_BACK
        :: slot == SEALED || slot == FREE || slot == CREATED && claimed
#else
        :: slot == SEALED || slot == FREE || slot == CREATED
#endif
        fi;
        claimed = false
    :: slot == SEALED -> slot = DOOMED; set_commit(DOOMED)
    :: slot == DOOMED ->
        fence_and_scan();
        if
        :: claimed -> claimed = false
        :: else -> free()
        fi
    od
}

init {
    atomic { run Memory(CLIENT); run Memory(DAEMON); run Client(); run Daemon() }
}
