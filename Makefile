# claimfs. Targets for people:
#
#   make                 build claimfs, claim-worker, claimctl into build/
#   make demo            the main job on real files, through two mounts of a local disk
#   make check           unit and system tests (installs what is missing first)
#   make check-unit      unit tests only              make check-system [T=files]   system tests only
#   make check-asan      tests under AddressSanitizer and UndefinedBehaviorSanitizer
#   make check-tsan      tests under ThreadSanitizer
#   make check-layers    no include points up         make check-headers            every header compiles alone
#   make fuzz            fuzz the parsers of foreign bytes, FUZZ_TIME seconds each (default 20)
#   make bench           our figures beside sshfs's   BENCH_JSON=FILE writes them too
#   make install         DESTDIR= PREFIX=/usr/local   make uninstall likewise
#   make deps            install the build and test packages (Debian), with sudo when not root
#   make clean
#
# Variables: CC CFLAGS LDFLAGS; BUILD=build; SANITIZE=address,undefined|thread; V=1 shows commands.

VERSION := 0.1.0
BUILD ?= build
PREFIX ?= /usr/local
CFLAGS ?= -O2 -g
SANITIZE ?=
V ?= 0
Q := $(if $(filter 1,$(V)),,@)

PKG_CONFIG ?= pkg-config
pkg = $(shell $(PKG_CONFIG) --$(1) $(2) 2>/dev/null)

WARNINGS := -Wall -Wextra -Werror -Wmissing-prototypes -Wshadow
CPPFLAGS_ALL := -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DCLAIMFS_VERSION='"$(VERSION)"' -Ifs -I. $(CPPFLAGS)
CFLAGS_ALL := -std=c11 $(WARNINGS) -fno-strict-aliasing -pthread $(CFLAGS) \
	$(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=all)
LDFLAGS_ALL := -pthread $(LDFLAGS) $(if $(SANITIZE),-fsanitize=$(SANITIZE))

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
CPPFLAGS_fuse = $(call pkg,cflags,fuse3)

.PHONY: all
all: $(PROGRAMS)

# LINK: the archives in order of the layers, each seen after what uses it.
FS_ARCHIVES := $(filter $(ARCHIVES),$(foreach l,fuse tree queue cache sftp base,$(call archive,$(l))))
$(BUILD)/claimfs: $(FS_MAIN) $(FS_ARCHIVES)
	@echo "  LD      $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $(FS_MAIN) $(FS_ARCHIVES) $(LIBS_fuse) $(LIBS_queue) $(LIBS_cache) $(LIBS_sftp) $(LIBS_base)

$(BUILD)/claim-worker: $(WORKER) $(call archive,base)
	@echo "  LD      $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_base) $(LIBS_worker)

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

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC      $<"
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

# ---- tests ----

UNIT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(wildcard tests/unit/test_*.c))
FAKES := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/fake/*.c))
FAULTS := $(patsubst tests/fault/%.c,$(BUILD)/tests/fault/%,$(wildcard tests/fault/*.c))

$(BUILD)/tests/unit/test_%: $(BUILD)/tests/unit/test_%.o $(FAKES) $(filter-out $(call archive,fuse),$(FS_ARCHIVES))
	@echo "  LD      $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ -lcmocka $(LIBS_queue) $(LIBS_cache) $(LIBS_sftp) $(LIBS_base)

$(BUILD)/tests/fault/%: $(BUILD)/tests/fault/%.o $(call archive,base)
	@echo "  LD      $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_base)

.PHONY: check check-unit check-system
check: deps
	$(Q)$(MAKE) --no-print-directory check-layers check-headers check-unit check-system

check-unit: $(UNIT_TESTS)
	$(Q)tests/run unit $(UNIT_TESTS)

check-system: all $(FAULTS)
	$(Q)tests/run system $(T)

.PHONY: check-layers check-headers
check-layers:
	$(Q)tests/check-layers

check-headers:
	$(Q)for h in $$(find fs worker tools tests -name '*.h'); do \
		$(CC) $(CPPFLAGS_ALL) $(CPPFLAGS_fuse) $(CFLAGS_ALL) -fsyntax-only -x c $$h || exit 1; done
	@echo "headers: each compiles alone"

.PHONY: clean
clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
