# claimfs. Targets for people:
#
#   make                 build claimfs, claim-worker, claimctl into build/
#   make demo            the main job on real files, through two mounts of a local disk (installs what is missing first)
#   make check           layers, headers, unit and system tests (installs what is missing first)
#   make check-unit      unit tests only              make check-system [T="files"]  system tests only
#   make check-asan      both under AddressSanitizer and UndefinedBehaviorSanitizer
#   make check-tsan      both under ThreadSanitizer   ([T="files"] here too)
#   make check-layers    no include points up         make check-headers             every header compiles alone
#   make check-man       the man pages are clean
#   make check-report    a report of claimctl drawn by Chromium, and the picture looked at (KEEP=DIRECTORY keeps it)
#   make picture         the README's picture, man/claimfs.svg, made anew of a real run
#   make fuzz            fuzz the parsers of foreign bytes, FUZZ_TIME seconds each (default 20), with clang
#   make torture         clients, kills and cuts, and a checker of their histories: on this host, and (as root) in network namespaces
#                        (SEED=N HOSTS=mounts|netns KEY=name|stat|content HEDGE=N …: tests/torture/forms)   make model  the protocol searched with spin
#   make torture-gluster the same on GlusterFS, each node with a client mount of its own; needs root
#   make soak            a million random operations, two thousand broken connections, every byte compared with a model
#   make bench           our figures beside sshfs's   BENCH_JSON=FILE writes them too     make bench-worker  the worker's only
#   make bench-queue     what a unit costs, a million of them and 64 mounts, beside locks over sshfs and Redis   QUICK=1 in small
#   make install         DESTDIR= PREFIX=/usr/local   make uninstall likewise
#   make deb             a Debian package in the build directory     make dist         a tar of the sources that builds, there too
#   make deps            install the packages for all of this (Debian), with sudo when not root
#   make clean
#
# Variables: CC CFLAGS CPPFLAGS LDFLAGS; BUILD=build; SANITIZE=address,undefined|thread; V=1 shows commands.
# JOBS: tests at a time; TEST_LIMIT, UNIT_LIMIT: seconds a system test, a program of unit tests may take; all read by tests/run.

VERSION := 0.1.0
BUILD ?= build
PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
LIBEXECDIR ?= $(PREFIX)/libexec/claimctl
MANDIR ?= $(PREFIX)/share/man
SYSTEMDDIR ?= $(PREFIX)/lib/systemd/system
BASHDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR ?= $(PREFIX)/share/zsh/site-functions
# mount(8) looks for its helpers in /sbin only; a PREFIX of one's own is left to itself.
SBINDIR ?= $(if $(filter /usr /usr/local,$(PREFIX)),/usr/sbin,$(PREFIX)/sbin)
CFLAGS ?= -O2 -g
SANITIZE ?=
FUZZ_TIME ?= 20
V ?= 0
Q := $(if $(filter 1,$(V)),,@)
SUBMAKE := $(MAKE) --no-print-directory

# pkg-config is asked when a recipe runs, never when this file is read: `make deps` may have to install it first.
PKG_CONFIG ?= pkg-config
pkg = $(shell $(PKG_CONFIG) --$(1) $(2) 2>/dev/null)

WARNINGS := -Wall -Wextra -Werror -Wmissing-prototypes -Wshadow
CPPFLAGS_ALL := -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DCLAIMFS_VERSION='"$(VERSION)"' -Ifs -I. $(CPPFLAGS)
CFLAGS_ALL := -std=c11 $(WARNINGS) -fno-strict-aliasing -pthread $(CFLAGS) \
	$(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=all)
LDFLAGS_ALL := -pthread $(LDFLAGS) $(if $(SANITIZE),-fsanitize=$(SANITIZE))

# ---- packages ----

# To build and to run, `make demo` included.
DEPS_BUILD := gcc libc6-dev make pkg-config libfuse3-dev fuse3 libssh2-1-dev libssl-dev libxxhash-dev liblmdb-dev libcjson-dev libncurses-dev \
	openssh-client openssh-sftp-server xz-utils
# To run the tests as well: what a user would run on a mount.
DEPS_CHECK := libcmocka-dev bats openssh-server socat mandoc attr git rsync sqlite3 xxhash procps python3 dpkg-dev zsh tmux jq
# For make bench and make fuzz.
DEPS_BENCH := sshfs iproute2 parallel redis-server redis-tools attr
DEPS_FUZZ := clang
DEPS_MODEL := spin
DEPS_DEB := dpkg-dev lintian
# For make check-report: it is large.
DEPS_REPORT := chromium python3

define install_missing
@missing=; for package in $(1); do \
	test "$$(dpkg-query -W -f '$${db:Status-Status}' $$package 2>/dev/null)" = installed || missing="$$missing $$package"; \
done; \
test -z "$$missing" && exit 0; \
command -v apt-get >/dev/null || { echo "make deps: not a Debian; install what these packages are there:$$missing" >&2; exit 0; }; \
sudo=; test "$$(id -u)" = 0 || sudo=sudo; \
echo "  APT    $$missing"; \
$$sudo apt-get update -q && \
$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$missing
endef

.PHONY: all
all:

.PHONY: deps deps-build deps-check deps-bench deps-fuzz deps-model deps-deb deps-report
deps: ; $(call install_missing,$(DEPS_BUILD) $(DEPS_CHECK) $(DEPS_BENCH) $(DEPS_FUZZ) $(DEPS_DEB))
deps-build: ; $(call install_missing,$(DEPS_BUILD))
deps-check: ; $(call install_missing,$(DEPS_BUILD) $(DEPS_CHECK))
deps-bench: ; $(call install_missing,$(DEPS_BUILD) $(DEPS_BENCH) openssh-server)
deps-report: ; $(call install_missing,$(DEPS_BUILD) $(DEPS_REPORT))
deps-fuzz: ; $(call install_missing,$(DEPS_BUILD) $(DEPS_FUZZ))
deps-model: ; $(call install_missing,gcc libc6-dev make $(DEPS_MODEL))
deps-deb: ; $(call install_missing,$(DEPS_BUILD) $(DEPS_DEB))

# ---- what is built of what ----

LIBS := base sftp cache queue tree fuse
sources = $(filter-out %/main.c,$(wildcard fs/$(1)/*.c))
$(foreach l,$(LIBS),$(eval OBJ_$(l) := $(patsubst %.c,$(BUILD)/%.o,$(call sources,$(l)))))
archive = $(BUILD)/lib$(1).a
ARCHIVES := $(foreach l,$(LIBS),$(if $(OBJ_$(l)),$(call archive,$(l))))

FS_MAIN := $(patsubst %.c,$(BUILD)/%.o,$(wildcard fs/*.c))
WORKER := $(patsubst %.c,$(BUILD)/%.o,$(wildcard worker/*.c))
TOOLS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tools/*.c))
PROGRAMS := $(if $(FS_MAIN),$(BUILD)/claimfs) $(if $(WORKER),$(BUILD)/claim-worker) $(if $(TOOLS),$(BUILD)/claimctl)

LIBS_base = $(call pkg,libs,libxxhash)
LIBS_sftp = $(call pkg,libs,libssh2) -lcrypto
LIBS_cache = $(call pkg,libs,lmdb)
LIBS_queue = $(call pkg,libs,libcjson)
LIBS_fuse = $(call pkg,libs,fuse3)
LIBS_tools = $(call pkg,libs,ncursesw) -lcrypto -lm
LIBS_worker = -lm
CPPFLAGS_fuse = $(call pkg,cflags,fuse3)

# What claimctl sends to machines and runs for clouds: found beside it, installed or not.
HELPERS := fleet-agent $(patsubst tools/%,%,$(wildcard tools/providers/*))
BUILT_HELPERS := $(addprefix $(BUILD)/libexec/claimctl/,$(HELPERS))
$(BUILD)/libexec/claimctl/%: tools/%
	$(Q)install -D -m 755 $< $@

all: $(PROGRAMS) $(BUILT_HELPERS)

# LINK: the archives in order of the layers, each seen after what uses it.
FS_ARCHIVES := $(filter $(ARCHIVES),$(foreach l,fuse tree queue cache sftp base,$(call archive,$(l))))
$(BUILD)/claimfs: $(FS_MAIN) $(FS_ARCHIVES)
	@echo "  LD      $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $(FS_MAIN) $(FS_ARCHIVES) $(LIBS_fuse) $(LIBS_queue) $(LIBS_cache) $(LIBS_sftp) $(LIBS_base)

$(BUILD)/claim-worker: $(WORKER) $(call archive,base)
	@echo "  LD      $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_queue) $(LIBS_base) $(LIBS_worker)

$(BUILD)/claimctl: $(TOOLS) $(filter $(ARCHIVES),$(call archive,queue) $(call archive,base))
	@echo "  LD      $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_queue) $(LIBS_base) $(LIBS_tools)

define archive_rule
$(call archive,$(1)): $(OBJ_$(1))
	@echo "  AR      $$@"
	$(Q)rm -f $$@ && $(AR) rcs $$@ $$^
endef
$(foreach l,$(LIBS),$(eval $(call archive_rule,$(l))))

$(BUILD)/fs/fuse/%.o $(BUILD)/fs/main.o: CPPFLAGS_ALL += $(CPPFLAGS_fuse)

$(BUILD)/%.o: %.c | $(BUILD)/.libraries
	@mkdir -p $(@D)
	@echo "  CC      $<"
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<
# Arithmetic on what its caller alone has: watched by ThreadSanitizer it takes seconds a passphrase, and logins of some tests run out of time.
$(BUILD)/fs/sftp/ssh_bcrypt.o: CFLAGS_ALL := $(filter-out -fsanitize=thread,$(CFLAGS_ALL))

# Says once and clearly what is missing, instead of a header that was not found.
$(BUILD)/.libraries:
	@mkdir -p $(@D)
	@$(PKG_CONFIG) --print-errors --exists fuse3 libssh2 libcrypto lmdb libxxhash libcjson ncursesw || \
		{ echo "make: libraries are missing: run 'make deps'" >&2; exit 1; }
	@touch $@

# ---- tests ----

UNIT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(wildcard tests/unit/test_*.c))
FAKES := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/fake/*.c))
PIPE := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/fault/pipe*.c))
FAULTS := $(BUILD)/tests/fault/pipe

$(BUILD)/tests/unit/test_%: $(BUILD)/tests/unit/test_%.o $(FAKES) $(filter-out $(call archive,fuse),$(FS_ARCHIVES))
	@echo "  LD      $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $(filter %.o,$^) $(filter %.a,$^) -lcmocka $(LIBS_queue) $(LIBS_cache) $(LIBS_sftp) $(LIBS_base)

# Over a libfuse that the test plays.
$(BUILD)/tests/unit/test_fuse_reply: $(BUILD)/fs/fuse/reply.o $(BUILD)/fs/fuse/dying.o
# Over the real one, but for the calls that the test plays.
$(BUILD)/tests/unit/test_fuse_session: $(patsubst %,$(BUILD)/fs/fuse/%.o,session pages reply dying)
$(BUILD)/tests/unit/test_fuse_session: LIBS_base += $(LIBS_fuse)
$(BUILD)/tests/unit/test_fuse_reply.o $(BUILD)/tests/unit/test_fuse_session.o: CPPFLAGS_ALL += $(CPPFLAGS_fuse)

# The worker's parts, without its main() and without the mount's archives.
$(BUILD)/tests/unit/test_worker_%: $(BUILD)/tests/unit/test_worker_%.o $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/fake/worker/*.c)) $(filter-out %/main.o,$(WORKER)) $(call archive,base)
	@echo "  LD      $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ -lcmocka $(LIBS_queue) $(LIBS_base) $(LIBS_worker)

# The fleet's parts, without claimctl's main().
FLEET := $(filter $(BUILD)/tools/fleet_%,$(TOOLS))
$(BUILD)/tests/unit/test_fleet: $(BUILD)/tests/unit/test_fleet.o $(FLEET) $(BUILD)/tools/json_text.o $(call archive,base)
	@echo "  LD      $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ -lcmocka $(LIBS_queue) $(LIBS_base)

# What claimctl doctor judges, without claimctl's main().
DOCTOR := $(patsubst %,$(BUILD)/tools/%.o,doctor doctor_queue doctor_node progress_read json_read html)
$(BUILD)/tests/unit/test_doctor: $(BUILD)/tests/unit/test_doctor.o $(DOCTOR) $(call archive,queue) $(call archive,base)
	@echo "  LD      $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ -lcmocka $(LIBS_queue) $(LIBS_base) -lm

$(BUILD)/tests/fault/pipe: $(PIPE) $(call archive,base)
	@echo "  LD      $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_base)

# The torture run: clients and a witness that write histories, and the checker that judges them (tests/torture/history.h).
TORTURE := $(BUILD)/tests/torture/client $(BUILD)/tests/torture/check $(BUILD)/tests/torture/witness \
	$(BUILD)/tests/torture/few_links.so
HISTORY := $(BUILD)/tests/torture/history.o $(BUILD)/tests/torture/judge.o $(BUILD)/tests/torture/judge_disk.o
$(BUILD)/tests/unit/test_history: $(HISTORY)
$(BUILD)/tests/torture/check: $(HISTORY)
$(BUILD)/tests/torture/%.so: tests/torture/%.c
	@mkdir -p $(@D)
	@echo "  LD      $@"
	$(Q)$(CC) $(CPPFLAGS_ALL) -std=c11 $(WARNINGS) $(CFLAGS) -shared -fPIC -o $@ $< -ldl
$(BUILD)/tests/torture/%: $(BUILD)/tests/torture/%.o $(call archive,queue) $(call archive,base)
	@echo "  LD      $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS_base)

# The soak: random operations compared with a model (tests/soak/fsx.c), and helpers of the system tests.
SOAK := $(patsubst tests/soak/%.c,$(BUILD)/tests/soak/%,$(filter-out tests/soak/fsx_%.c,$(wildcard tests/soak/*.c)))
$(BUILD)/tests/soak/fsx: $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/soak/fsx_*.c))
$(BUILD)/tests/soak/%: $(BUILD)/tests/soak/%.o
	@echo "  LD      $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^

RUN := CLAIMFS_BUILD='$(abspath $(BUILD))' tests/run

.PHONY: check check-all check-unit check-system
check: deps-check
	$(Q)$(SUBMAKE) check-layers check-headers check-man
	$(Q)$(SUBMAKE) -j$$(nproc) all tests
	$(Q)$(SUBMAKE) check-all

check-all: all tests
	$(Q)$(RUN) unit $(UNIT_TESTS) -- system $(T)

check-unit: $(UNIT_TESTS)
	$(Q)$(RUN) unit $(UNIT_TESTS)

check-system: all $(FAULTS) $(TORTURE) $(SOAK)
	$(Q)$(RUN) system $(T)

.PHONY: tests
tests: $(UNIT_TESTS) $(FAULTS) $(TORTURE) $(SOAK)

# Daemons have no terminal to complain on: the sanitizers write into a directory, which must be empty in the end.
SANITIZER_LOGS := $(abspath $(BUILD))/sanitizer
SANITIZER_ENV = SANITIZER_LOGS=$(SANITIZER_LOGS) \
	ASAN_OPTIONS=log_path=$(SANITIZER_LOGS)/asan:detect_stack_use_after_return=1:verify_asan_link_order=0:suppressions=$(CURDIR)/tests/asan.supp \
	UBSAN_OPTIONS=log_path=$(SANITIZER_LOGS)/ubsan:print_stacktrace=1 \
	LSAN_OPTIONS=suppressions=$(CURDIR)/tests/lsan.supp:print_suppressions=0 \
	TSAN_OPTIONS=log_path=$(SANITIZER_LOGS)/tsan:suppressions=$(CURDIR)/tests/tsan.supp:second_deadlock_stack=1

.PHONY: check-asan check-tsan check-sanitized
check-asan: deps-check
	$(Q)$(SUBMAKE) BUILD=$(BUILD)/asan SANITIZE=address,undefined CFLAGS='-O1 -g' -j$$(nproc) all tests
	$(Q)$(SUBMAKE) BUILD=$(BUILD)/asan SANITIZE=address,undefined CFLAGS='-O1 -g' check-sanitized

check-tsan: deps-check
	$(Q)$(SUBMAKE) BUILD=$(BUILD)/tsan SANITIZE=thread CFLAGS='-O1 -g' -j$$(nproc) all tests
	$(Q)$(SUBMAKE) BUILD=$(BUILD)/tsan SANITIZE=thread CFLAGS='-O1 -g' check-sanitized

check-sanitized: all tests
	$(Q)rm -rf $(SANITIZER_LOGS) && mkdir -p $(SANITIZER_LOGS)
	$(Q)$(SANITIZER_ENV) PATIENCE=$${PATIENCE:-5} TEST_LIMIT=$${TEST_LIMIT:-900} UNIT_LIMIT=$${UNIT_LIMIT:-900} $(RUN) unit $(UNIT_TESTS) -- system $(T)

.PHONY: check-layers check-headers check-man
check-layers:
	$(Q)tests/check-layers

check-headers:
	$(Q)for h in $$(find fs worker tools tests -name '*.h'); do \
		$(CC) $(CPPFLAGS_ALL) $(CPPFLAGS_fuse) $(CFLAGS_ALL) -fsyntax-only -x c $$h || exit 1; done
	@echo "headers: each compiles alone"

check-man:
	$(Q)for page in $(MAN_PAGES); do mandoc -T lint -W warning $$page || exit 1; done
	@echo "man pages: clean"

.PHONY: check-report
check-report: deps-report
	$(Q)$(SUBMAKE) -j$$(nproc) all
	$(Q)CLAIMFS_BUILD='$(abspath $(BUILD))' tests/report-screenshot

# Every tests/fuzz/fuzz_NAME.c with the seeds in tests/fuzz/NAME/; what it finds grows in the build directory.
FUZZERS := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))

.PHONY: fuzz $(addprefix fuzz-run-,$(FUZZERS))
fuzz: deps-fuzz
	$(Q)$(SUBMAKE) CC=clang BUILD=$(BUILD)/fuzz SANITIZE=address,undefined,fuzzer-no-link $(addprefix fuzz-run-,$(FUZZERS))

$(BUILD)/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o $(filter-out $(call archive,fuse),$(FS_ARCHIVES))
	@echo "  LD      $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -fsanitize=fuzzer -o $@ $^ $(LIBS_queue) $(LIBS_cache) $(LIBS_sftp) $(LIBS_base)

$(addprefix fuzz-run-,$(FUZZERS)): fuzz-run-%: $(BUILD)/fuzz_%
	@echo "  FUZZ    $*"
	@mkdir -p $(BUILD)/corpus/$*
	$(Q)$< -max_total_time=$(FUZZ_TIME) -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 -verbosity=0 \
		-artifact_prefix=$(BUILD)/ $(BUILD)/corpus/$* $(wildcard tests/fuzz/$*)

# ---- proof ----

.PHONY: soak torture torture-gluster model
soak: deps-check
	$(Q)$(SUBMAKE) -j$$(nproc) all tests
	$(Q)CLAIMFS_BUILD='$(abspath $(BUILD))' tests/soak/run

torture: deps-check
	$(Q)$(SUBMAKE) -j$$(nproc) all tests
	$(Q)CLAIMFS_BUILD='$(abspath $(BUILD))' tests/torture/forms

torture-gluster: deps-check
	$(call install_missing,glusterfs-server)
	$(Q)$(SUBMAKE) -j$$(nproc) all $(TORTURE)
	$(Q)CLAIMFS_BUILD='$(abspath $(BUILD))' tests/torture/gluster

model: deps-model
	$(Q)tests/model/run

# ---- demo, figures ----

.PHONY: demo picture bench bench-worker
demo: deps-build
	$(Q)$(SUBMAKE) -j$$(nproc) all
	$(Q)CLAIMFS_BUILD='$(abspath $(BUILD))' tests/demo

picture: deps-build
	$(Q)$(SUBMAKE) -j$$(nproc) all
	$(Q)CLAIMFS_BUILD='$(abspath $(BUILD))' tests/picture man/claimfs.svg

bench: deps-bench
	$(Q)$(SUBMAKE) -j$$(nproc) all tests-faults $(addprefix $(BUILD)/tests/bench/,bare copier)
	$(Q)CLAIMFS_BUILD='$(abspath $(BUILD))' BENCH_JSON='$(BENCH_JSON)' tests/bench/run

bench-worker: deps-bench
	$(Q)$(SUBMAKE) -j$$(nproc) all tests-faults $(BUILD)/tests/bench/copier
	$(Q)CLAIMFS_BUILD='$(abspath $(BUILD))' BENCH_JSON='$(BENCH_JSON)' tests/bench/worker

# A client without a filesystem, to compare mounts with.
$(BUILD)/tests/bench/bare: $(BUILD)/tests/bench/bare.o $(filter $(ARCHIVES),$(call archive,sftp) $(call archive,base))
	@echo "  LD      $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_queue) $(LIBS_sftp) $(LIBS_base)

.PHONY: bench-queue
bench-queue: deps-bench
	$(Q)$(SUBMAKE) -j$$(nproc) all $(addprefix $(BUILD)/tests/bench/,bare cycles rivals)
	$(Q)CLAIMFS_BUILD='$(abspath $(BUILD))' BENCH_JSON='$(BENCH_JSON)' tests/bench/queue

$(addprefix $(BUILD)/tests/bench/,copier cycles rivals): $(BUILD)/tests/bench/%: $(BUILD)/tests/bench/%.o
	@echo "  LD      $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^

.PHONY: tests-faults
tests-faults: $(FAULTS)

# ---- installation ----

MAN_PAGES := $(wildcard man/*.[178])
MOUNT_HELPERS := mount.claimfs mount.fuse.claimfs
man_dir = $(DESTDIR)$(MANDIR)/man$(patsubst .%,%,$(suffix $(1)))

.PHONY: install uninstall
install: all
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(SBINDIR)
	install -m 755 $(PROGRAMS) $(DESTDIR)$(BINDIR)
	$(foreach helper,$(HELPERS),install -D -m 755 tools/$(helper) $(DESTDIR)$(LIBEXECDIR)/$(helper) &&) :
	$(foreach helper,$(MOUNT_HELPERS),ln -sfr $(DESTDIR)$(BINDIR)/claimfs $(DESTDIR)$(SBINDIR)/$(helper) &&) :
	@# A unit names its program by an absolute path.
	sed 's|/usr/bin/|$(BINDIR)/|' tools/systemd/claim-worker@.service | install -D -m 644 /dev/stdin $(DESTDIR)$(SYSTEMDDIR)/claim-worker@.service
	install -D -m 644 tools/completion/claimfs.bash $(DESTDIR)$(BASHDIR)/claimfs
	ln -sf claimfs $(DESTDIR)$(BASHDIR)/claim-worker && ln -sf claimfs $(DESTDIR)$(BASHDIR)/claimctl
	install -D -m 644 tools/completion/_claimctl $(DESTDIR)$(ZSHDIR)/_claimctl
	$(foreach page,$(MAN_PAGES),install -D -m 644 $(page) $(call man_dir,$(page))/$(notdir $(page)) &&) :

uninstall:
	rm -f $(addprefix $(DESTDIR)$(BINDIR)/,claimfs claim-worker claimctl)
	rm -f $(addprefix $(DESTDIR)$(SBINDIR)/,$(MOUNT_HELPERS))
	rm -f $(addprefix $(DESTDIR)$(LIBEXECDIR)/,$(HELPERS)) $(DESTDIR)$(SYSTEMDDIR)/claim-worker@.service
	rm -f $(addprefix $(DESTDIR)$(BASHDIR)/,claimfs claim-worker claimctl) $(DESTDIR)$(ZSHDIR)/_claimctl
	rm -f $(foreach page,$(MAN_PAGES),$(call man_dir,$(page))/$(notdir $(page)))

# ---- packages to give away ----

# RELEASE: built apart from the objects of every day, hardened as Debian's own packages are.
RELEASE = BUILD=$(BUILD)/release PREFIX=/usr ZSHDIR=/usr/share/zsh/vendor-completions CFLAGS='-O2 -g -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIE' \
	LDFLAGS='-pie -Wl,-z,relro,-z,now'
DEB = $(BUILD)/claimfs_$(VERSION)_$$(dpkg --print-architecture).deb

.PHONY: deb deb-only dist
deb: deps-deb
	$(Q)$(SUBMAKE) -j$$(nproc) $(RELEASE) all
	$(Q)$(SUBMAKE) deb-only
	$(Q)lintian --fail-on error $(DEB)

deb-only:
	$(Q)rm -rf $(BUILD)/deb
	$(Q)$(SUBMAKE) -s $(RELEASE) DESTDIR=$(abspath $(BUILD))/deb install
	$(Q)tools/deb/build $(BUILD)/deb $(VERSION) $(BUILD)
	@echo "  DEB     $(DEB)"

dist:
	@mkdir -p $(BUILD)
	$(Q)git archive --format=tar --prefix=claimfs-$(VERSION)/ HEAD | xz >$(BUILD)/claimfs-$(VERSION).tar.xz
	@echo "  DIST    $(BUILD)/claimfs-$(VERSION).tar.xz"

# Objects of tests are kept: they are made on the way.
.SECONDARY:

.PHONY: clean
clean:
	rm -rf $(BUILD)

# What the compiler found out about headers; the sanitizers' builds below this one keep their own.
OBJECTS := $(foreach l,$(LIBS),$(OBJ_$(l))) $(FS_MAIN) $(WORKER) $(TOOLS) \
	$(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/*/*.c tests/*/*/*.c))
-include $(wildcard $(OBJECTS:.o=.d))
