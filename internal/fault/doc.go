// Package fault lets an emulated server fail on command. A rule says which
// requests it is for, when it fires, and what happens then: another status, a
// wait, a closed connection, half a reply, or an effect of the server's own.
//
// A server keeps Rules, asks them for the effects of each request, and answers
// through Serve. Rules are added in process or over HTTP: Rules is an
// http.Handler. Every rule counts the requests that it matched and those that it
// hit.
//
// Nothing here runs in the background: waits end with their request, times are
// read off the clock when a request comes. So it works in a testing/synctest
// bubble, and the same seed gives the same faults to the same requests.
package fault
