/*
 * The claim protocol of claimfs-queue(7) as a model for spin: claim, heartbeat, expiry, steal, verify, commit, release, too many
 * attempts, redo, sweep, with connections that break at any request, answers that are lost, requests that an old server process
 * carries out late or never, mounts that lapse (do not reach the server for a lease) and mounts that die.
 *
 * One unit with one key. Names on the disk:
 *   claim(g,n)  0 absent, 1 … NM the owner inside, FREE, LOST        claims/UNIT.G.N
 *   marker[g]   0 absent, else the owner inside                      done/KK/KEY.G
 *   failed[g], redo[g]                                               failed/UNIT.G, redo/UNIT.G
 *
 * Time is abstract: fresh[m] says that m's heartbeat is younger than a lease by the server's clock, valid[m] that m itself thinks
 * so. A lapse clears valid first, fresh after (a node measures its lease from the *sending* of the last acknowledged beat); ver[m] changes
 * with each beat, as the heartbeat file's mtime does.
 *
 * Bounds, by -D: NM mounts, NN claim numbers, GG generations, BREAKS, LAPSES, CRASHES, REDOS, ATT attempts.
 * Rules that can be switched off, each of which must then be seen to matter: NO_STALE_LOOK, NO_HEAL, NO_VERIFY, REMOVE_EARLY.
 *
 * Checked: promise 1 (assert at every `ok`), promise 2 (an end state in which a live mount waits for ever for a unit that is neither
 * done nor failed is an invalid end state), promise 4 (assert when a mount begins to believe in its claim), and that what counts as
 * done in a generation was committed in it.
 */
#ifndef NM
#define NM 2
#endif
#ifndef NN
#define NN 4
#endif
#ifndef GG
#define GG 1
#endif
#ifndef BREAKS
#define BREAKS 1
#endif
#ifndef LAPSES
#define LAPSES 1
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef GIVES
#define GIVES 1
#endif
#ifndef ATT
#define ATT 2
#endif

#define FREE 8
#define LOST 9

#define C(g, n) claims[(g) * (NN + 2) + (n)]
byte claims[GG * (NN + 2)];	/* numbers 1 … NN; 0 and NN+1 stay absent */
byte marker[GG];
bit failed[GG];
bit redo[GG + 1];

bit fresh[NM + 1];
bit valid[NM + 1];
bit suspect[NM + 1];		/* lapsed since it last verified */
bit relapsed[NM + 1];		/* lapsed since its last beat */
bit due[NM + 1];		/* of a lapse the server has yet to notice */
bit dead[NM + 1];
byte ver[NM + 1];
byte hold[NM + 1];		/* the number of the claim m believes in; 0 none */
byte holdg[NM + 1];
byte oks[GG];			/* commits answered `ok` */
bit told[(NM + 1) * GG];	/* m has answered `ok` for KEY.g */

byte breaks = BREAKS;
byte lapses = LAPSES;
byte crashes = CRASHES;
byte gives = GIVES;		/* how often a holder gives back of its own will */
bit limit;			/* the model ran out of claim numbers */

mtype = { NOTHING, LINKC, FREEC, LOSTC, MARK, FAIL, REDO, BEAT };
mtype = { OK, FAILURE, NOENT, UNKNOWN };

/* What an old server process still holds: carried out at any time, or never. */
#define NLATE 2
mtype late_op[NLATE];
byte late_m[NLATE], late_g[NLATE], late_n[NLATE];

#define GEN (redo[GG - 1] -> GG - 1 : 0)
#define HELD(o) ((o) != 0 && (o) != FREE)
#if NN == 3
#define TOP(g) (C(g,3) -> 3 : (C(g,2) -> 2 : (C(g,1) -> 1 : 0)))
#define JUDGE(g) (HELD(C(g,3)) -> 3 : (HELD(C(g,2)) -> 2 : (HELD(C(g,1)) -> 1 : 0)))
#define COUNT(g) (HELD(C(g,1)) + HELD(C(g,2)) + HELD(C(g,3)))
#elif NN == 4
#define TOP(g) (C(g,4) -> 4 : (C(g,3) -> 3 : (C(g,2) -> 2 : (C(g,1) -> 1 : 0))))
#define JUDGE(g) (HELD(C(g,4)) -> 4 : (HELD(C(g,3)) -> 3 : (HELD(C(g,2)) -> 2 : (HELD(C(g,1)) -> 1 : 0))))
#define COUNT(g) (HELD(C(g,1)) + HELD(C(g,2)) + HELD(C(g,3)) + HELD(C(g,4)))
#else
#define TOP(g) (C(g,5) -> 5 : (C(g,4) -> 4 : (C(g,3) -> 3 : (C(g,2) -> 2 : (C(g,1) -> 1 : 0)))))
#define JUDGE(g) (HELD(C(g,5)) -> 5 : (HELD(C(g,4)) -> 4 : (HELD(C(g,3)) -> 3 : (HELD(C(g,2)) -> 2 : (HELD(C(g,1)) -> 1 : 0)))))
#define COUNT(g) (HELD(C(g,1)) + HELD(C(g,2)) + HELD(C(g,3)) + HELD(C(g,4)) + HELD(C(g,5)))
#endif
#define OWNER(g) C(g, JUDGE(g))
#define ENDED(g) (marker[g] != 0 || failed[g] || redo[(g) + 1])
/* fresh[0] is never set: owner 0 (no claim that is not free) and LOST count as stale. */
#define STALE(g) (OWNER(g) == 0 || OWNER(g) == LOST || !fresh[OWNER(g) % 8])
/* Its own claim that it does not hold, as the highest one: a link that came late. */
#define ORPHAN(g, m) (OWNER(g) == m && !(hold[m] == JUDGE(g) && holdg[m] == g))

#define BELIEVES(m, g) (hold[m] != 0 && holdg[m] == g && valid[m] && !suspect[m])

/* The server carries one request out. */
inline serve(op, m, g, n, res)
{
	if
	:: op == LINKC ->
		if
		:: C(g, n) == 0 -> C(g, n) = m; res = OK
		:: else -> res = FAILURE
		fi
	:: op == FREEC -> C(g, n) = FREE; res = OK
	:: op == LOSTC -> C(g, n) = LOST; res = OK
	:: op == MARK ->
		if
		:: marker[g] != 0 -> res = FAILURE
		:: marker[g] == 0 && C(g, n) == 0 -> res = NOENT
		:: else -> marker[g] = C(g, n); res = OK
		fi
	:: op == FAIL ->
		if
		:: failed[g] -> res = FAILURE
		:: else -> failed[g] = 1; res = OK
		fi
	:: op == REDO ->
		if
		:: redo[g] -> res = FAILURE
		:: else -> redo[g] = 1; res = OK
		fi
	:: op == BEAT -> fresh[m] = 1; ver[m] = (ver[m] + 1) % 4; res = OK
	fi
}

/* m asks; the connection may break before, or after it was carried out, or leave it to an old server process; m may die. */
inline ask(op, m, g, n, res)
{
	atomic {
		if
		:: serve(op, m, g, n, res)
		:: breaks > 0 -> breaks--; serve(op, m, g, n, res); res = UNKNOWN
		:: breaks > 0 -> breaks--; res = UNKNOWN;
			if
			:: late_op[0] == NOTHING -> late_op[0] = op; late_m[0] = m; late_g[0] = g; late_n[0] = n
			:: late_op[0] != NOTHING && late_op[1] == NOTHING -> late_op[1] = op; late_m[1] = m; late_g[1] = g; late_n[1] = n
			:: else
			fi
		:: crashes > 0 -> crashes--;
			hold[m] = 0; valid[m] = 0; dead[m] = 1;
			if
			:: serve(op, m, g, n, res)
			:: true
			:: late_op[0] == NOTHING -> late_op[0] = op; late_m[0] = m; late_g[0] = g; late_n[0] = n
			fi;
			goto dies
		fi
	}
}

/* Beats until one is acknowledged: valid from then on; what it held stays suspect until it has been verified. */
inline beat(m, res)
{
	do
	:: ask(BEAT, m, 0, 0, res);
		if
		/* An answer that took longer than a lease proves nothing: its own lease runs from the sending. */
		:: atomic { res == OK && fresh[m] -> valid[m] = 1; relapsed[m] = 0; break }
		:: res != OK || !fresh[m]
		fi
	od
}

/* good: m's claim (g,n) still is its own. */
inline verify(m, g, n, res, good)
{
	do
	:: beat(m, res);
		good = 1;
#ifndef NO_VERIFY
		if
		:: C(g, n) != m -> good = 0; break
		:: else
		fi;
		if
		:: C(g, n + 1) != 0 -> good = 0; break
		:: else
		fi;
		if
		:: marker[g] != 0 -> good = 0; break
		:: else
		fi;
		if
		:: failed[g] || redo[g + 1] -> good = 0; break
		:: else
		fi;
#endif
		if
		:: atomic { !relapsed[m] -> suspect[m] = 0; break }
		:: else		/* lapsed while it looked */
		fi
	od
}

/* Withdraw, release, lose: repeated until acknowledged. */
inline give_back(op, m, g, n, res)
{
	do
	:: ask(op, m, g, n, res);
		if
		:: res == OK -> break
		:: else
		fi
	od
}

inline check_one_owner(m, g)
{
	byte other = 1;
	do
	:: other <= NM ->
		assert(other == m || !BELIEVES(other, g));
		other++
	:: else -> break
	od;
	other = 0
}

inline answer_ok(m, g)
{
	oks[g]++;
	told[m * GG + g] = 1;
	assert(oks[g] == 1)
}

proctype Mount(byte m)
{
	byte g, n, stale, sver, sowner;
	mtype res;
	bit good, unsure, toomany;

again:
	atomic { g = 0; n = 0; stale = 0; sver = 0; sowner = 0; good = 0; unsure = 0; toomany = 0; res = OK }
wait:
	/* To wait here for ever is to have lost the unit: an invalid end state. */
	if
	:: atomic { ENDED(GEN) || limit -> goto end_idle }
#ifndef NO_HEAL
	:: atomic { !ENDED(GEN) && ORPHAN(GEN, m) -> g = GEN; n = JUDGE(g) };
		give_back(FREEC, m, g, n, res);
		goto again
#endif
	:: atomic {
		!ENDED(GEN) && !ORPHAN(GEN, m) && STALE(GEN) ->
		g = GEN; n = TOP(g) + 1;
		if
		:: n > NN -> limit = 1; goto end_idle
		:: else
		fi;
		sowner = OWNER(g);
		if
		:: sowner != 0 && sowner != LOST -> stale = JUDGE(g); sver = ver[sowner]
		:: else
		fi;
		toomany = (COUNT(g) >= ATT)
	   }
	fi;

	/* Claim: its own heartbeat first, then the link and the looks. */
	if
	:: !valid[m] || suspect[m] -> beat(m, res); suspect[m] = relapsed[m]
	:: else
	fi;
	ask(LINKC, m, g, n, res);
	if
	:: res == FAILURE -> goto again
	:: res == UNKNOWN ->
		if
		:: C(g, n) == m -> unsure = 1
		:: else -> goto again
		fi
	:: res == OK
	fi;
	if
	:: marker[g] != 0 -> goto again
	:: else
	fi;
	if
	:: failed[g] || redo[g + 1] -> goto again
	:: else
	fi;
#ifndef NO_STALE_LOOK
	if
	:: stale != 0 && (C(g, stale) != sowner || ver[sowner % 8] != sver) ->
		give_back(FREEC, m, g, n, res);
		goto again
	:: else
	fi;
#endif
believe:
	if
	:: atomic {
		!unsure && valid[m] && !suspect[m] ->
		hold[m] = n; holdg[m] = g;
		check_one_owner(m, g)
	   }
	:: atomic { unsure || !valid[m] || suspect[m] -> unsure = 0 };
		verify(m, g, n, res, good);
		if
		:: good -> goto believe
		:: else -> goto stolen
		fi
	fi;

	if
	:: toomany -> goto give_up
	:: else
	fi;
	if
	:: true
	:: atomic { gives > 0 -> gives--; hold[m] = 0 };
		if
		:: give_back(FREEC, m, g, n, res)
		:: give_back(LOSTC, m, g, n, res)
		fi;
		goto again
	fi;

commit:
	if
	:: !valid[m] || suspect[m] ->
		verify(m, g, n, res, good);
		if
		:: good -> atomic { if :: valid[m] && !suspect[m] -> check_one_owner(m, g) :: else fi }
		:: else -> goto stolen
		fi
	:: else
	fi;
	ask(MARK, m, g, n, res);
	if
	:: atomic { res == OK -> answer_ok(m, g); hold[m] = 0 }
	:: res == NOENT -> hold[m] = 0		/* its claim is gone: never linked again */
	:: atomic {
		(res == FAILURE || res == UNKNOWN) && marker[g] != 0 ->
		if
		:: marker[g] == m && !told[m * GG + g] -> answer_ok(m, g)
		:: else				/* `already` */
		fi;
		hold[m] = 0
	   }
	:: res == UNKNOWN && marker[g] == 0 ->
		verify(m, g, n, res, good);
		if
		:: good -> goto commit
		:: else -> goto stolen
		fi
	fi;
	goto again;

give_up:
	ask(FAIL, m, g, 0, res);
	if
	:: res == UNKNOWN -> goto give_up
	:: else -> hold[m] = 0; goto again
	fi;

stolen:
	/* ESTALE: a lapsed claim is given up as lost. */
	hold[m] = 0;
	give_back(LOSTC, m, g, n, res);
	goto again;

end_idle:
	atomic { !ENDED(GEN) && !limit -> goto again };

dies:
	skip
}

/* Time passes: a mount's own lease ends first, then, once a lapse, the server's. The dead stay stale. */
#define LAPSE(k) lapses > 0 && valid[k] && !dead[k] -> lapses--; valid[k] = 0; suspect[k] = 1; relapsed[k] = 1; due[k] = 1
#define EXPIRE(k) fresh[k] && (dead[k] || (due[k] && !valid[k])) -> fresh[k] = 0; due[k] = 0

proctype Time()
{
end:
	do
	:: atomic { LAPSE(1) }
	:: atomic { LAPSE(2) }
	:: atomic { EXPIRE(1) }
	:: atomic { EXPIRE(2) }
#if NM > 2
	:: atomic { LAPSE(3) }
	:: atomic { EXPIRE(3) }
#endif
	od
}

proctype OldServer()
{
	mtype res;
end:
	do
	:: atomic { late_op[0] != NOTHING -> serve(late_op[0], late_m[0], late_g[0], late_n[0], res); late_op[0] = NOTHING; late_m[0] = 0; late_g[0] = 0; late_n[0] = 0; res = OK }
	:: atomic { late_op[1] != NOTHING -> serve(late_op[1], late_m[1], late_g[1], late_n[1], res); late_op[1] = NOTHING; late_m[1] = 0; late_g[1] = 0; late_n[1] = 0; res = OK }
	od
}

/* Once a generation has ended anybody may remove any of its claims, at any time, again and again. */
#ifdef REMOVE_EARLY
#define MAY_SWEEP(g, n) (C(g, n) != 0 && (ENDED(g) || !HELD(C(g, n)) || C(g, n) == LOST))
#else
#define MAY_SWEEP(g, n) (C(g, n) != 0 && ENDED(g))
#endif
proctype Sweeper()
{
end:
	do
	:: atomic { MAY_SWEEP(0, 1) -> C(0, 1) = 0 }
	:: atomic { MAY_SWEEP(0, 2) -> C(0, 2) = 0 }
	:: atomic { MAY_SWEEP(0, 3) -> C(0, 3) = 0 }
#if NN > 3
	:: atomic { MAY_SWEEP(0, 4) -> C(0, 4) = 0 }
#endif
#if GG > 1
	:: atomic { MAY_SWEEP(1, 1) -> C(1, 1) = 0 }
	:: atomic { MAY_SWEEP(1, 2) -> C(1, 2) = 0 }
	:: atomic { MAY_SWEEP(1, 3) -> C(1, 3) = 0 }
#endif
	od
}

#if GG > 1
proctype User()
{
	mtype res;
end_user:
	atomic { (marker[0] != 0 || failed[0]) && (OWNER(0) == 0 || STALE(0)) -> skip };
	do
	:: ask(REDO, 0, 1, 0, res);
		if
		:: res != UNKNOWN -> break
		:: else
		fi
	od;
dies:
	skip
}
#endif

init {
	byte i = 1;
	atomic {
		late_op[0] = NOTHING; late_op[1] = NOTHING;
		do
		:: i <= NM -> fresh[i] = 1; valid[i] = 1; run Mount(i); i++
		:: else -> break
		od;
		run Time(); run OldServer(); run Sweeper();
#if GG > 1
		run User()
#endif
	}
}
