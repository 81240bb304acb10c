/*
 * The claim protocol of claimfs-queue(7) as a model for spin: claim, heartbeat, expiry, steal, verify, commit, release, too many
 * attempts, redo, hedge, sweep, with connections that break at any request, answers that are lost, requests that an old server process
 * carries out late or never, mounts that lapse (do not reach the server for a lease) and mounts that die.
 *
 * NU units. With CONTENT they share one key, as with key = content: a unit is done by its own record, not by the marker.
 * Names on the disk:
 *   C(u,g,n)  0 absent, 1 … NM the owner inside, 8 + owner free, 16 + owner lost    claims/UNIT.G.N
 *   C(u,g,0)  the same, of a second attempt beside a live claim: a hedge             claims/UNIT.G.0
 *   marker[g] 0 absent, else what the claim was when it was linked                   done/KK/KEY.G
 *   F(u,g), R(u,g)                                                                   failed/UNIT.G, redo/UNIT.G
 *   D(u,g)    the record that UNIT.G is done (CONTENT only)                          log/NODE
 *
 * Time is abstract: fresh[m] says that m's heartbeat is younger than a lease by the server's clock, valid[m] that m itself thinks
 * so. A lapse clears valid first, fresh after (a node measures its lease from the *sending* of the last acknowledged beat); ver[m] changes
 * with each beat, as the heartbeat file's mtime does.
 *
 * Bounds, by -D: NM mounts, NU units, NN claim numbers, GG generations, BREAKS, LAPSES, CRASHES, GIVES, REDOS, HEDGES, ATT attempts.
 * Rules that can be switched off, each of which must then be seen to matter: NO_STALE_LOOK, NO_HEAL, NO_VERIFY, REMOVE_EARLY (free and
 * lost claims are removed while the generation runs), REDO_REMOVES (a redo removes what was there, in place of a new generation),
 * HEDGE_IN_CHAIN (a hedge is the claim N+1, and not one beside the chain), NO_REDO_LOOK (a redo under a shared key does not look whether KEY.G was done
 * before), NO_RECORD_LOOK (where a marker is there, the records are not asked whose it is).
 *
 * Checked: promise 1 (assert at every `ok`), promise 2 (an end state in which a live mount waits for ever for a unit that is neither
 * done nor failed is an invalid end state), promise 4 (assert when a mount begins to believe in its claim), and that no commit from
 * before a redo counts after it (assert at the commit and when a redo is acknowledged).
 */
#ifndef NM
#define NM 2
#endif
#ifndef NU
#define NU 1
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
#ifndef REDOS
#define REDOS (GG - 1)
#endif
#ifndef HEDGES
#define HEDGES 0
#endif
#ifndef ATT
#define ATT 2
#endif

#define FREE 8
#define LOST 16

#define C(u, g, n) claims[((u) * GG + (g)) * (NN + 2) + (n)]
byte claims[NU * GG * (NN + 2)];	/* numbers 1 … NN, and 0 of a hedge; NN+1 stays absent */
byte marker[GG];
#define F(u, g) failed[(u) * GG + (g)]
bit failed[NU * GG];
#define R(u, g) redo[(u) * (GG + 1) + (g)]
bit redo[NU * (GG + 1)];
#ifdef CONTENT
#define D(u, g) record[(u) * GG + (g)]
bit record[NU * GG];
#endif

bit fresh[NM + 1];
bit valid[NM + 1];
bit suspect[NM + 1];		/* lapsed since it last verified */
bit relapsed[NM + 1];		/* lapsed since its last beat */
bit due[NM + 1];		/* of a lapse the server has yet to notice */
bit dead[NM + 1];
byte ver[NM + 1];
byte hold[NM + 1];		/* the number of the claim m believes in; 0 none */
byte holdg[NM + 1];
#if NU > 1
byte holdu[NM + 1];
#define HOLDU(m) holdu[m]
#else
#define HOLDU(m) 0
#endif
byte oks[GG];			/* commits answered `ok` */
bit told[(NM + 1) * GG];	/* m has answered `ok` for KEY.g */

/* Ghosts: no mount sees them. */
bit early[NU * GG];		/* KEY.g was done when u's redo to g began */
#ifdef REDO_REMOVES
byte rounds;			/* redos so far */
byte work[NM + 1];		/* the round m's claim was made in */
byte late_work[2];
#endif

byte breaks = BREAKS;
byte lapses = LAPSES;
byte crashes = CRASHES;
byte gives = GIVES;		/* how often a holder gives back of its own will */
byte hedges = HEDGES;
bit limit;			/* the model ran out of claim numbers */

mtype = { NOTHING, LINKC, FREEC, LOSTC, MARK, FAIL, REDO, DONE, BEAT };
mtype = { OK, FAILURE, NOENT, UNKNOWN };

/* What an old server process still holds: carried out at any time, or never. */
#define NLATE 2
mtype late_op[NLATE];
byte late_m[NLATE], late_u[NLATE], late_g[NLATE], late_n[NLATE];

#if GG > 2
#define GEN(u) (R(u, 2) -> 2 : (R(u, 1) -> 1 : 0))
#elif GG > 1
#define GEN(u) (R(u, 1) -> 1 : 0)
#else
#define GEN(u) 0
#endif
#define HELD(o) ((o) != 0 && (o) / 8 != 1)
#if NN == 3
#define TOP(u, g) (C(u,g,3) -> 3 : (C(u,g,2) -> 2 : (C(u,g,1) -> 1 : 0)))
#define JUDGE(u, g) (HELD(C(u,g,3)) -> 3 : (HELD(C(u,g,2)) -> 2 : (HELD(C(u,g,1)) -> 1 : 0)))
#define COUNT(u, g) (HELD(C(u,g,1)) + HELD(C(u,g,2)) + HELD(C(u,g,3)))
#else
#define TOP(u, g) (C(u,g,4) -> 4 : (C(u,g,3) -> 3 : (C(u,g,2) -> 2 : (C(u,g,1) -> 1 : 0))))
#define JUDGE(u, g) (HELD(C(u,g,4)) -> 4 : (HELD(C(u,g,3)) -> 3 : (HELD(C(u,g,2)) -> 2 : (HELD(C(u,g,1)) -> 1 : 0))))
#define COUNT(u, g) (HELD(C(u,g,1)) + HELD(C(u,g,2)) + HELD(C(u,g,3)) + HELD(C(u,g,4)))
#endif
#define OWNER(u, g) (JUDGE(u, g) -> C(u, g, JUDGE(u, g)) : 0)
#ifdef CONTENT
#define IS_DONE(u, g) D(u, g)
#define KEYED 0				/* what is claimed is hashed after that */
#else
#define IS_DONE(u, g) (marker[g] != 0)
#define KEYED 1
#endif
#define ENDED(u, g) (IS_DONE(u, g) || F(u, g) || R(u, (g) + 1))
#if NU > 1
#define ALL_ENDED (ENDED(0, GEN(0)) && ENDED(1, GEN(1)))
#else
#define ALL_ENDED ENDED(0, GEN(0))
#endif
/* fresh[0] is never set: owner 0 (no claim that is not free) and lost ones count as stale. */
#define STALE(u, g) (OWNER(u, g) / 8 == 2 || !fresh[OWNER(u, g) % 8])
/* Its own claim that it does not hold, as the highest one: a link that came late. */
#define ORPHAN(u, g, m) (OWNER(u, g) == m && !(hold[m] == JUDGE(u, g) && holdg[m] == g && HOLDU(m) == u))

#define BELIEVES(m, u, g) (hold[m] != 0 && HOLDU(m) == u && holdg[m] == g && valid[m] && !suspect[m])

/* The server carries one request out. */
inline serve(op, m, u, g, n, res)
{
	if
	:: op == LINKC ->
		if
		:: C(u, g, n) == 0 -> C(u, g, n) = m; res = OK
		:: else -> res = FAILURE
		fi
	:: op == FREEC -> C(u, g, n) = FREE + m; res = OK
	:: op == LOSTC -> C(u, g, n) = LOST + m; res = OK
	:: op == MARK ->
		if
		:: marker[g] != 0 -> res = FAILURE
		:: marker[g] == 0 && C(u, g, n) == 0 -> res = NOENT
		:: else -> marker[g] = C(u, g, n); res = OK
		fi
	:: op == FAIL ->
		if
		:: F(u, g) -> res = FAILURE
		:: else -> F(u, g) = 1; res = OK
		fi
	:: op == REDO ->
		if
		:: R(u, g) -> res = FAILURE
		:: else -> R(u, g) = 1; early[(u) * GG + (g)] = (marker[g] != 0); res = OK
		fi
#ifdef CONTENT
	:: op == DONE -> D(u, g) = 1; res = OK
#endif
	:: op == BEAT -> fresh[m] = 1; ver[m] = (ver[m] + 1) % 4; res = OK
	fi
}

/* m asks; the connection may break before, or after it was carried out, or leave it to an old server process; m may die. */
#ifdef REDO_REMOVES
#define KEEP_WORK(i, m) late_work[i] = work[m];
/* What counts as done after a redo was claimed after it. */
#define CHECK_WORK(op, g, w) assert(!(op == MARK && marker[g] == 0 && w != rounds));
#else
#define KEEP_WORK(i, m)
#define CHECK_WORK(op, g, w)
#endif
#define LATER(i, op, m, u, g, n) late_op[i] = op; late_m[i] = m; late_u[i] = u; late_g[i] = g; late_n[i] = n; KEEP_WORK(i, m)

/* m asks; the connection may break before, or after it was carried out, or leave it to an old server process; m may die. */
inline ask(op, m, u, g, n, res)
{
	atomic {
		if
		:: CHECK_WORK(op, g, work[m]) serve(op, m, u, g, n, res)
		:: breaks > 0 -> breaks--; CHECK_WORK(op, g, work[m]) serve(op, m, u, g, n, res); res = UNKNOWN
		:: breaks > 0 -> breaks--; res = UNKNOWN;
			if
			:: late_op[0] == NOTHING -> LATER(0, op, m, u, g, n)
			:: late_op[0] != NOTHING && late_op[1] == NOTHING -> LATER(1, op, m, u, g, n)
			:: else
			fi
		:: crashes > 0 -> crashes--;
			hold[m] = 0; valid[m] = 0; dead[m] = 1;
			if
			:: CHECK_WORK(op, g, work[m]) serve(op, m, u, g, n, res)
			:: true
			:: late_op[0] == NOTHING -> LATER(0, op, m, u, g, n)
			fi;
			goto dies
		fi
	}
}

/* Beats until one is acknowledged: valid from then on; what it held stays suspect until it has been verified. */
inline beat(m, res)
{
	do
	:: ask(BEAT, m, 0, 0, 0, res);
		if
		/* An answer that took longer than a lease proves nothing: its own lease runs from the sending. */
		:: atomic { res == OK && fresh[m] -> valid[m] = 1; relapsed[m] = 0; break }
		:: res != OK || !fresh[m]
		fi
	od
}

/* good: m's claim (u,g,n) still is its own. keyed: m knows under which key, and so looks at the marker. */
inline verify(m, u, g, n, keyed, res, good)
{
	do
	:: beat(m, res);
		good = 1;
#ifndef NO_VERIFY
		if
		:: C(u, g, n) != m -> good = 0; break
		:: else
		fi;
		if
		:: n != 0 && C(u, g, n + 1) != 0 -> good = 0; break
		:: else
		fi;
		if
		:: keyed && marker[g] != 0 -> good = 0; break
		:: else
		fi;
		if
		:: (n != 0 && F(u, g)) || R(u, g + 1) -> good = 0; break
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
inline give_back(op, m, u, g, n, res)
{
	do
	:: ask(op, m, u, g, n, res);
		if
		:: res == OK -> break
		:: else
		fi
	od
}

inline check_one_owner(m, u, g)
{
	byte other = 1;
	do
	:: other <= NM ->
		assert(other == m || !BELIEVES(other, u, g));
		other++
	:: else -> break
	od;
	other = 0
}

inline answer_ok(m, g)
{
	oks[g]++;
	told[m * GG + g] = 1;
#ifndef REDO_REMOVES		/* there a name has more than one life */
	assert(oks[g] == 1)
#endif
}

#define HEALABLE(u, m) (!ENDED(u, GEN(u)) && ORPHAN(u, GEN(u), m))
#define TAKEABLE(u, m) (!ENDED(u, GEN(u)) && !ORPHAN(u, GEN(u), m) && STALE(u, GEN(u)))
/* Another mount's claim is live, and nobody has hedged the unit. */
#define OTHERS(u, m) (OWNER(u, GEN(u)) != 0 && OWNER(u, GEN(u)) < FREE && OWNER(u, GEN(u)) != m && fresh[OWNER(u, GEN(u))])
#define HEDGEABLE(u, m) (hedges > 0 && !ENDED(u, GEN(u)) && OTHERS(u, m) && C(u, GEN(u), 0) == 0)
#ifdef HEDGE_IN_CHAIN
#define HEDGE_NUMBER(u, g) (TOP(u, g) + 1)
#else
#define HEDGE_NUMBER(u, g) 0
#endif
#if NU > 1
#define CHOOSE(to) u = to; g = GEN(u)
#define HOLD(m, u) holdu[m] = u;
#else
#define CHOOSE(to) g = GEN(to)
#define HOLD(m, u)
#endif

/* What this mount sees of unit g as it decides to claim it. */
inline look(u)
{
	n = TOP(u, g) + 1;
	if
	:: n > NN -> limit = 1; goto end_idle
	:: else
	fi;
	sowner = OWNER(u, g);
	if
	:: sowner != 0 && sowner < FREE -> stale = JUDGE(u, g); sver = ver[sowner]
	:: else -> sowner = 0
	fi;
	toomany = (COUNT(u, g) >= ATT)
}

proctype Mount(byte m)
{
#if NU > 1
	byte u;
#else
#define u 0
#endif
	byte g, n, stale, sver, sowner;
	mtype res;
	bit good, unsure, toomany;

again:
	atomic { CHOOSE(0); g = 0; n = 0; stale = 0; sver = 0; sowner = 0; good = 0; unsure = 0; toomany = 0; res = OK }
wait:
	/* To wait here for ever is to have lost the unit: an invalid end state. */
	if
	:: atomic { ALL_ENDED || limit -> goto end_idle }
#ifndef NO_HEAL
	:: atomic { HEALABLE(0, m) -> CHOOSE(0); n = JUDGE(u, g) };
		goto heal
#endif
	:: atomic { TAKEABLE(0, m) -> CHOOSE(0); look(u) }
#if HEDGES > 0
	:: atomic { HEDGEABLE(0, m) && HEDGE_NUMBER(0, GEN(0)) < NN -> hedges--; CHOOSE(0); n = HEDGE_NUMBER(u, g); toomany = 0 }
#endif
#if NU > 1
#ifndef NO_HEAL
	:: atomic { HEALABLE(1, m) -> CHOOSE(1); n = JUDGE(u, g) };
		goto heal
#endif
	:: atomic { TAKEABLE(1, m) -> CHOOSE(1); look(u) }
#endif
	fi;

	/* Claim: its own heartbeat first, then the link and the looks. */
	if
	:: !valid[m] || suspect[m] -> beat(m, res); suspect[m] = relapsed[m]
	:: else
	fi;
#ifdef REDO_REMOVES
	work[m] = rounds;
#endif
	ask(LINKC, m, u, g, n, res);
	if
	:: res == FAILURE -> goto again
	:: res == UNKNOWN ->
		if
		:: C(u, g, n) == m -> unsure = 1
		:: else -> goto again
		fi
	:: res == OK
	fi;
#ifndef CONTENT
	if
	:: marker[g] != 0 -> goto again
	:: else
	fi;
#endif
	if
	:: F(u, g) || R(u, g + 1) -> goto again
	:: else
	fi;
#ifndef NO_STALE_LOOK
	if
	:: stale != 0 && (C(u, g, stale) != sowner || ver[sowner % 8] != sver) ->
		give_back(FREEC, m, u, g, n, res);
		goto again
	:: else
	fi;
#endif
believe:
	if
	:: atomic {
		!unsure && valid[m] && !suspect[m] ->
#ifndef CONTENT
		hold[m] = n; holdg[m] = g; HOLD(m, u)
		if
		:: n != 0 -> check_one_owner(m, u, g)
		:: else			/* the second attempt that was asked for */
		fi
#endif
	   }
	:: atomic { unsure || !valid[m] || suspect[m] -> unsure = 0 };
		verify(m, u, g, n, KEYED, res, good);
		if
		:: good -> goto believe
		:: else -> goto stolen
		fi
	fi;

	if
	:: toomany -> goto give_up
	:: else
	fi;
#ifdef CONTENT
	/*
	 * The key is known by now. Where its marker is there, the records say whose: this unit's own (its claims are swept, so that this one may be of a name
	 * that was used before), or the other one's. If they don't, who did it died before it wrote one: it is worked on.
	 */
	if
	:: marker[g] != 0 ->
		if
#ifndef NO_RECORD_LOOK
		:: D(u, g) -> goto again
		:: !D(u, g) && D(1 - u, g) -> goto write_down
		:: !D(u, g) && !D(1 - u, g)
#else
		:: true
#endif
		fi
	:: else
	fi;
	atomic {
		hold[m] = n; holdg[m] = g; HOLD(m, u)
		if
		:: n != 0 && valid[m] && !suspect[m] -> check_one_owner(m, u, g)
		:: else
		fi
	}
#endif
	if
	:: true
	:: atomic { gives > 0 -> gives--; hold[m] = 0 };
		if
		:: give_back(FREEC, m, u, g, n, res)
		:: give_back(LOSTC, m, u, g, n, res)
		fi;
		goto again
	fi;

commit:
	if
	:: !valid[m] || suspect[m] ->
		verify(m, u, g, n, 1, res, good);
		if
		:: good -> atomic { if :: n != 0 && valid[m] && !suspect[m] -> check_one_owner(m, u, g) :: else fi }
		:: else -> goto stolen
		fi
	:: else
	fi;
	ask(MARK, m, u, g, n, res);
	if
	:: atomic { res == OK -> answer_ok(m, g); hold[m] = 0 }
	:: res == NOENT -> hold[m] = 0; goto again		/* its claim is gone: never linked again */
	:: atomic {
		(res == FAILURE || res == UNKNOWN) && marker[g] != 0 ->
		if
		:: marker[g] % 8 == m && !told[m * GG + g] -> answer_ok(m, g)
		:: else				/* `already` */
		fi;
		hold[m] = 0
	   }
	:: res == UNKNOWN && marker[g] == 0 ->
		verify(m, u, g, n, 1, res, good);
		if
		:: good -> goto commit
		:: else -> goto stolen
		fi
	fi;
write_down:
#ifdef CONTENT
	ask(DONE, m, u, g, 0, res);
	if
	:: res != OK -> goto write_down
	:: else
	fi;
#endif
	goto again;

give_up:
	ask(FAIL, m, u, g, 0, res);
	if
	:: res == UNKNOWN -> goto give_up
	:: else -> hold[m] = 0; goto again
	fi;

heal:
	give_back(FREEC, m, u, g, n, res);
	goto again;

stolen:
	/* ESTALE: a lapsed claim is given up as lost. */
	hold[m] = 0;
	give_back(LOSTC, m, u, g, n, res);
	goto again;

end_idle:
	atomic { !ALL_ENDED && !limit -> goto again };

dies:
	skip
}
#if NU == 1
#undef u
#endif

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

#define CARRY_OUT(i) late_op[i] != NOTHING -> CHECK_WORK(late_op[i], late_g[i], late_work[i]) \
	serve(late_op[i], late_m[i], late_u[i], late_g[i], late_n[i], res); \
	late_op[i] = NOTHING; late_m[i] = 0; late_u[i] = 0; late_g[i] = 0; late_n[i] = 0; res = OK

proctype OldServer()
{
	mtype res;
end:
	do
	:: atomic { CARRY_OUT(0) }
	:: atomic { CARRY_OUT(1) }
	od
}

/* Once a generation has ended anybody may remove any of its claims, at any time, again and again. */
#ifdef REMOVE_EARLY
#define MAY_SWEEP(u, g, n) (C(u, g, n) != 0 && (ENDED(u, g) || C(u, g, n) >= FREE))
#else
#define MAY_SWEEP(u, g, n) (C(u, g, n) != 0 && ENDED(u, g))
#endif
#define SWEEP(u, g, n) atomic { MAY_SWEEP(u, g, n) -> C(u, g, n) = 0 }
#if HEDGES > 0
#define SWEEP_HEDGE(u, g) :: SWEEP(u, g, 0)
#else
#define SWEEP_HEDGE(u, g)
#endif
#if NN > 3
#define SWEEPS(u, g) SWEEP_HEDGE(u, g) :: SWEEP(u, g, 1) :: SWEEP(u, g, 2) :: SWEEP(u, g, 3) :: SWEEP(u, g, 4)
#else
#define SWEEPS(u, g) SWEEP_HEDGE(u, g) :: SWEEP(u, g, 1) :: SWEEP(u, g, 2) :: SWEEP(u, g, 3)
#endif
proctype Sweeper()
{
end:
	do
	SWEEPS(0, 0)
#if GG > 1
	SWEEPS(0, 1)
#endif
#if GG > 2
	SWEEPS(0, 2)
#endif
#if NU > 1
	SWEEPS(1, 0)
#if GG > 1
	SWEEPS(1, 1)
#endif
#if GG > 2
	SWEEPS(1, 2)
#endif
#endif
	od
}

/* A user asks for a unit that is done or failed again: refused while a live claim is listed. */
#define MAY_REDO(u) ((IS_DONE(u, GEN(u)) || F(u, GEN(u))) && STALE(u, GEN(u)))
#if GG > 1
proctype User()
{
	byte u, g, left = REDOS;
	mtype res;

end_user:
	if
	:: atomic { left > 0 && MAY_REDO(0) && GEN(0) + 1 < GG -> u = 0; g = GEN(0) + 1 }
#if NU > 1
	:: atomic { left > 0 && MAY_REDO(1) && GEN(1) + 1 < GG -> u = 1; g = GEN(1) + 1 }
#endif
	fi;
	left--;
begin:
	ask(REDO, 0, u, g, 0, res);
	if
	:: res == UNKNOWN -> goto begin
	:: else
	fi;
#if defined(CONTENT) && !defined(NO_REDO_LOOK)
	/* Done before under the shared key, so it would count at once: one generation further. */
	if
	:: marker[g] != 0 && g + 1 < GG -> g++; goto begin
	:: marker[g] != 0 && g + 1 >= GG -> goto dies	/* the model has no more of them; this one was not acknowledged */
	:: marker[g] == 0
	fi;
#endif
	assert(!early[u * GG + g]);
	goto end_user;
dies:
	skip
}
#endif

#ifdef REDO_REMOVES
proctype User()
{
	byte n;

end_user:
	atomic {
		MAY_REDO(0) && rounds < 1 ->
		rounds++; marker[0] = 0; F(0, 0) = 0; oks[0] = 0;
		told[1] = 0; told[2] = 0;
		do
		:: n < NN -> n++; C(0, 0, n) = 0
		:: else -> break
		od
	}
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
#if GG > 1 || defined(REDO_REMOVES)
		run User()
#endif
	}
}
