/* Settles of shared accounts go to parts (see docs/adr/0043). A settle locks the row of its lease and of its part, and never
   the account; an acquire locks the account, then reads what parts have committed; the janitor closes leases and folds
   parts into the account under the account's lock. LIM=4 units, 3 leases of 2 units, one reservation of 2 units in each.
   Each transaction is a process that may be interrupted between its statements; what it writes is seen at its commit.
   Mutants: -DPARTSFIRST the acquire reads parts before it has the lock; -DSTALECLOSE the janitor frees what it read of a
   lease before it had the lease's lock; -DSTALEFOLD it folds what it read of a part before it had the part's lock;
   -DSETTLEUNLOCKED a settle does not lock the row of its lease. */
#define LIM 4
#define L 3
#define HELD ((exists[0] -> granted[0]-settled[0] : 0) + (exists[1] -> granted[1]-settled[1] : 0) + (exists[2] -> granted[2]-settled[2] : 0))
/* Every account is the sum of its leases; nothing is over but what was reported after its lease had been closed. */
#define INV (leased - pfreed == HELD && spent + pspent + HELD <= LIM + late)
byte spent, leased, pspent, pfreed, late, next;
bool acctLock, partLock, rowLock[L], exists[L];
byte granted[L], settled[L];
/* 1 reserved, 2 its report has begun, 3 it has committed, 4 there will be none */
byte st[L];

proctype acquirer() {
  byte ps, pf;
end:
  do
  :: next < L ->
#ifdef PARTSFIRST
     atomic { ps = pspent; pf = pfreed };
#endif
     atomic { !acctLock -> acctLock = 1 };
#ifndef PARTSFIRST
     atomic { ps = pspent; pf = pfreed };
#endif
     atomic {
       if
       :: next < L && spent + ps + leased - pf + 2 <= LIM ->
          leased = leased + 2; exists[next] = 1; granted[next] = 2; st[next] = 1; next++
       :: else -> skip
       fi;
       ps = 0; pf = 0; acctLock = 0; assert(INV)
     }
  od
}

proctype settler(byte l) {
  byte amount; bool found;
end:
  atomic { st[l] == 1 -> if :: st[l] = 2 :: st[l] = 4 fi };
  if
  :: st[l] == 2 ->
     if :: amount = 0 :: amount = 1 :: amount = 2 fi;
#ifdef SETTLEUNLOCKED
     found = exists[l];
#else
     atomic { !rowLock[l] -> rowLock[l] = 1; found = exists[l] };
#endif
     atomic { !partLock -> partLock = 1 };
     atomic {
       if
       :: found -> settled[l] = settled[l] + amount; granted[l] = granted[l] - (2 - amount); pfreed = pfreed + 2
       :: else -> late = late + amount
       fi;
       pspent = pspent + amount; partLock = 0;
#ifndef SETTLEUNLOCKED
       rowLock[l] = 0;
#endif
       st[l] = 3; assert(INV)
     }
  :: else -> skip
  fi
}

/* Closes leases whose reservation is being reported, has been, or never will be. */
inline closeLease(l) {
  atomic { !acctLock && exists[l] && st[l] != 1 -> acctLock = 1 };
#ifdef STALECLOSE
  open = granted[l] - settled[l];
#endif
  atomic { !rowLock[l] -> rowLock[l] = 1 };
#ifndef STALECLOSE
  open = granted[l] - settled[l];
#endif
  atomic { leased = leased - open; open = 0; exists[l] = 0; rowLock[l] = 0; acctLock = 0; assert(INV) }
}

proctype janitor() {
  byte open, s, f;
end:
  do
  :: closeLease(0)
  :: closeLease(1)
  :: closeLease(2)
  :: atomic { !acctLock && pfreed > 0 -> acctLock = 1 };
#ifdef STALEFOLD
     atomic { s = pspent; f = pfreed };
#endif
     atomic { !partLock -> partLock = 1 };
#ifndef STALEFOLD
     atomic { s = pspent; f = pfreed };
#endif
     atomic {
       spent = spent + s; leased = leased - f; pspent = 0; pfreed = 0; s = 0; f = 0;
       partLock = 0; acctLock = 0; assert(INV)
     }
  od
}

init { atomic { run acquirer(); run acquirer(); run janitor(); run settler(0); run settler(1); run settler(2) } }
