package system_test

import "syscall"

// ownGroup puts a child into a process group of its own, and lets it end when the
// test dies.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
