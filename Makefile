# SPDX-License-Identifier: GPL-2.0
#
# For people; the kernel's build system reads Kbuild.
#
# KDIR is the kernel to build for, ARCH and CROSS_COMPILE as the kernel knows
# them. W=1, C=1 and the like go to the kernel's build system.

KDIR ?= /lib/modules/$(shell uname -r)/build

SUITES ?= *
KERNELS ?=
BENCH ?=
FUZZ_TIME ?= 300

all: modules

modules: check-kdir
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules

check-kdir:
	@test $(words $(CURDIR)) -eq 1 || { \
		echo "The kernel's build system takes no folder with a blank in its name:"; \
		echo "    $(CURDIR)"; \
		exit 1; } >&2
	@test -e '$(KDIR)/Makefile' || { \
		echo "There is no kernel to build against in $(KDIR)."; \
		echo "For the kernel that is running:  apt-get install linux-headers-$$(uname -r)"; \
		echo "For another one:                 make KDIR=/path/to/its/build"; \
		echo "To try it in QEMU:               ./run-qemu.sh (fetches a kernel itself)"; \
		exit 1; } >&2

# A distribution's kernel signs with a key that only the distribution has.
NO_KEY := $(if $(wildcard $(KDIR)/certs/signing_key.pem),,CONFIG_MODULE_SIG_ALL=)
# Where modules go: kernel.release says something else in Debian's headers for 6.1.  Headers
# have no System.map, without which the kernel's build system does not run depmod.
RELEASE = $(shell sed -n 's/.*UTS_RELEASE "\(.*\)"/\1/p' '$(KDIR)/include/generated/utsrelease.h')
DEPMOD = PATH=$$PATH:/sbin depmod -a $(if $(INSTALL_MOD_PATH),-b '$(INSTALL_MOD_PATH)') '$(RELEASE)'

install: modules
	$(MAKE) -C $(KDIR) M=$(CURDIR) $(NO_KEY) modules_install
	$(DEPMOD)

# Everything of ours but what dkms has put there
uninstall: check-kdir
	for dir in updates extra; do \
		dir='$(INSTALL_MOD_PATH)/lib/modules/$(RELEASE)/'$$dir; \
		test -d "$$dir" || continue; \
		find "$$dir" -path "$$dir/dkms" -prune -o -name 'chaos_*.ko*' -exec rm -v {} +; \
		find "$$dir" -mindepth 1 -type d -empty -delete; \
	done
	$(DEPMOD)

# What dkms builds the module of
VERSION := $(shell sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' dkms.conf)
DKMS_SOURCE = $(DESTDIR)/usr/src/chaos_alloc-$(VERSION)

install-dkms:
	install -d '$(DKMS_SOURCE)/packaging' '$(DKMS_SOURCE)/dropin'
	install -m 644 -t '$(DKMS_SOURCE)' $(filter-out %.mod.c,$(wildcard *.[ch])) Kbuild dkms.conf
	install -m 644 -t '$(DKMS_SOURCE)/dropin' \
		$(filter-out %.mod.c,$(wildcard dropin/*.[ch])) dropin/Kbuild
	install -m 755 -t '$(DKMS_SOURCE)/packaging' packaging/keep-symvers

clean:
	@rm -f tools/chaostop/chaostop
	@if test -e '$(KDIR)/Makefile'; then \
		$(MAKE) -C $(KDIR) M=$(CURDIR) clean; \
	else \
		find . -name .git -prune -o -type f \( -name '*.o' -o -name '*.ko' \
			-o -name '*.mod' -o -name '*.mod.c' -o -name '.*.cmd' \
			-o -name 'modules.order' -o -name 'Module.symvers' \) \
			-exec rm -f {} +; \
	fi

check:
	@SUITES='$(SUITES)' KERNELS='$(KERNELS)' tools/check.sh

check-all:
	@SUITES='$(SUITES)' KERNELS=all tools/check.sh
	@tools/doccheck.py --long

gdb:
	@tools/gdb.sh

gdb-test:
	@tools/gdb.sh --test

torture:
	@tools/torture.sh

style:
	@tools/style.sh

htmldocs:
	@tools/docs.sh html

docs-check:
	@tools/docs.sh check

analyze:
	@tools/analyze.sh

count:
	@tools/count.sh

bench:
	@tools/bench.sh $(BENCH)

native:
	@tools/native.sh

model:
	@tools/model.sh

host:
	@tools/host.sh

host-fuzz:
	@FUZZ_TIME='$(FUZZ_TIME)' tools/host.sh fuzz

host-coverage:
	@tools/host.sh coverage

chaostop:
	$(MAKE) -C tools/chaostop

install-tools:
	$(MAKE) -C tools/chaostop install

pictures:
	@tools/pictures.sh

tools-check:
	@tools/check-tools.sh

packages:
	@tools/packaging.sh

kunit-um:
	@tools/intree.sh kunit

help:
	@echo "make                build the modules for the running kernel"
	@echo "make KDIR=... ARCH=... CROSS_COMPILE=..."
	@echo "                    build them for the kernel whose build tree is KDIR"
	@echo "make install        install them where modprobe finds them (as root)"
	@echo "make uninstall      remove them from there"
	@echo "make install-dkms   put what dkms builds from into /usr/src"
	@echo "  CLIENTS=n             of these four: only chaos_alloc.ko, no samples and tests"
	@echo "make clean          remove what make built here"
	@echo "make check          run the tests in QEMU, on a plain and on a debug kernel"
	@echo "  SUITES='chaos_tlsf*'  only these suites (a glob)"
	@echo "  KERNELS=kunit         only on this kernel"
	@echo "  KERNELS=rtdebug       on PREEMPT_RT, with lockdep"
	@echo "make check-all      the same on every test kernel: this takes hours"
	@echo "make kunit-um       run the suites as part of a kernel, in User-mode Linux"
	@echo "make torture        torture each engine for five minutes, in QEMU"
	@echo "  DURATION=1800         seconds for each (more: the top of tools/torture.sh)"
	@echo "make gdb            debug the guest that ./run-qemu.sh --gdb has made wait"
	@echo "make gdb-test       see that this works"
	@echo "make count          count the instructions of single calls, in QEMU"
	@echo "make bench          measure the engines and the kernel's allocators side by side"
	@echo "  BENCH=--quick         to see that it works (more: tools/bench.sh --help)"
	@echo "make native         time loops of calls natively, in User-mode Linux"
	@echo "make model          have spin search a model of the page ownership protocol"
	@echo "make analyze        coccinelle, clang's analyser, gcc -fanalyzer"
	@echo "make host           run the module in user space against a model, with sanitizers"
	@echo "make host-fuzz      the same, by libFuzzer and AFL++"
	@echo "  FUZZ_TIME=300         for so many seconds in all"
	@echo "make host-coverage  the lines and branches that its random operations take"
	@echo "make chaostop       build the viewer of heaps; make install-tools installs it, with"
	@echo "                    its manual page, below PREFIX (/usr/local)"
	@echo "make pictures       draw heaps while a trace is replayed, to pictures/"
	@echo "make tools-check    test these"
	@echo "make packages       build and try the Debian packages, and dkms"
	@echo "make style          checkpatch, sparse, shellcheck, kernel-doc, warnings, fast paths"
	@echo "make htmldocs       render the documentation, into Documentation/output"
	@echo "make docs-check     see that it renders, and that a test runs each command in it"
	@echo
	@echo "./run-qemu.sh       try the modules in QEMU (see --help)"

.PHONY: all modules check-kdir install clean check check-all gdb gdb-test torture style analyze count bench native \
	model host host-fuzz host-coverage chaostop install-tools pictures tools-check \
	htmldocs docs-check help
.PHONY: uninstall install-dkms packages kunit-um
