package main

// threat is a row of the page: what went wrong in programs like this one, and the
// tests that show what happens here instead.
type threat struct {
	Number int
	Name   string
	// Goal is what the tests hold this program to, in one sentence.
	Goal  string
	Tests []proof
	// Short is what is not shown, and why.
	Short string
}

// proof is a test: of a package, by the name that go test -run takes, with a slash
// before that of a subtest.
type proof struct{ Package, Test string }

// threats are all of them.
var threats = []threat{
	{Number: 1, Name: "Killed while embedding", Goal: "The cache checks clean after every kill, keeps what was reported as stored, and ends with the vectors of an uninterrupted run.", Tests: []proof{
		{"cmd/medprobe", "TestKilledAtAnyMoment"}, {"cmd/medprobe", "TestKilledEmbedLosesNothing"}, {"cmd/medprobe", "TestKillsCostWhatWasInFlight"},
	}},
	{Number: 2, Name: "Killed while writing a head, report, export or version", Goal: "Every file is absent or whole; what is left over is named or swept.", Tests: []proof{
		{"cmd/medprobe", "TestKilledRunAndRegistryAreOldOrNew"}, {"cmd/medprobe", "TestKilledPushGoesOn"}, {"internal/atomicfile", "TestFailedWriteLeavesTheOldFile"},
	}},
	{Number: 3, Name: "Disk full, quota", Goal: "An error that names the file and says that there is no space; the cache is well, and the run goes on when there is space again.", Tests: []proof{
		{"cmd/medprobe", "TestFullDiskIsSaidAndGotOver"},
	}},
	{Number: 4, Name: "Several processes on one cache", Goal: "All succeed, nothing is stored twice, and nobody hears of locks.", Tests: []proof{
		{"cmd/medprobe", "TestCrowdOnOneCache"}, {"embedcache", "TestWritersOfTheSameRowsDoNotFail"}, {"registry", "TestConcurrentWriters"},
	}},
	{Number: 5, Name: "Bit rot in the cache", Goal: "No wrong vector is ever served; the check finds what is damaged, and a repair keeps the rest.", Tests: []proof{
		{"embedcache", "TestFlippedBits"}, {"embedcache", "TestFlippedBitOfTheLog"}, {"embedcache", "TestBrokenSidecarIsNotBelieved"}, {"embedcache", "TestRepairOfANewerNumber"},
	}},
	{Number: 6, Name: "Log missing, cut off or another's; foreign or newer files", Goal: "Opened, or refused with the versions; never written to.", Tests: []proof{
		{"embedcache", "TestLogThatIsGoneOrCutOff"}, {"embedcache", "TestForeignFilesAreRefusedUntouched"}, {"embedcache", "TestRepairLeavesForeignFilesAlone"}, {"registry", "TestNewerAndReadOnlyRegistries"}, {"cmd/medprobe", "TestDamagedAndNewerRegistry"},
	}},
	{Number: 7, Name: "Decompression bombs", Goal: "Refused or decoded in less than a second and 256 MB; the run goes on.", Tests: []proof{
		{"internal/raster", "TestBombsAreRefused"}, {"internal/raster", "TestBudgetBoundsWhatIsInFlight"}, {"cmd/medprobe", "TestBombsAndBrokenImagesCostOnlyThemselves"},
	}},
	{Number: 8, Name: "Malformed images", Goal: "No panic, no process that dies within 4 GB of address space, 5 seconds at most, and every sample accounted for.", Tests: []proof{
		{"cmd/medprobe", "TestMutatedImagesThroughEmbed"}, {"cmd/medprobe", "TestRealHostileImages"}, {"internal/raster", "TestDamagedFilesDoNoHarm"}, {"internal/raster", "TestHostileFilesDoNoHarm"},
	}},
	{Number: 9, Name: "Malformed DICOM", Goal: "No panic; what promises too much is refused before memory is taken.", Tests: []proof{
		{"internal/dicom", "TestMutatedFilesNeverPanic"}, {"internal/dicom", "TestHostileFilesAreRefusedBeforeMemoryIsTaken"},
	}},
	{Number: 10, Name: "safetensors", Goal: "The verdicts of the reference implementation, before any tensor is allocated.", Tests: []proof{
		{"internal/safetensors", "TestCraftedFilesAreJudgedAsTheReferenceDoes"}, {"internal/safetensors", "TestRefusalComesBeforeAnyTensorIsAllocated"}, {"internal/safetensors", "TestAMillionTensors"},
	}},
	{Number: 11, Name: "npy and npz", Goal: "Nothing is unpickled; headers and archives that lie are refused.", Tests: []proof{
		{"internal/npy", "TestHeadersThatLieAreRefused"}, {"internal/npy", "TestArchivesThatLieAreRefused"}, {"internal/npy", "TestArchivesOfManyMembers"}, {"internal/npy", "TestWhatIsNoArrayOfNumbersIsRefused"},
	}},
	{Number: 12, Name: "tar, WebDataset, layers of container images", Goal: "Nothing is written outside or read outside; what is too much is refused.", Tests: []proof{
		{"datasets", "TestWebDatasetRefusesWhatLeadsElsewhere"}, {"datasets", "TestTarArchivesAreBounded"}, {"datasets", "TestHostileArchivesEndSoon"}, {"registry", "TestImportRefuses"}, {"registry", "TestBundleGoesAroundAndIsChecked"},
	}},
	{Number: 13, Name: "ONNX models", Goal: "Refused with the name of the node or tensor before the runtime sees them; what crashes the runtime ends its own process only.", Tests: []proof{
		{"internal/onnxfile", "TestHostileModelsAreRefusedByName"}, {"cmd/medprobe", "TestHostileModelsEndOnlyTheirFirstRun"}, {"cmd/medprobe", "TestChangedModelsNeverTakeTheCommandDown"},
	}},
	{Number: 14, Name: "Pickle", Goal: "Refused by whatever name, with the way to convert it.", Tests: []proof{
		{"encoder", "TestPickledFilesAreRefusedWithTheWayToConvertThem"}, {"internal/safetensors", "TestCraftedFilesAreJudgedAsTheReferenceDoes"}, {"internal/npy", "TestWhatIsNoArrayOfNumbersIsRefused"},
	}},
	{Number: 15, Name: "Paths and names that lead out", Goal: "Refused unless --allow-outside; a link that is swapped while it is read is never followed outside.", Tests: []proof{
		{"datasets", "TestPathsOutsideOnlyWhereTheyAreAllowed"}, {"datasets", "TestPathsThatLeaveTheFolderAreExcluded"}, {"datasets", "TestSymbolicLinkOutOfTheFolderIsNotFollowed"}, {"datasets", "TestSwappedLinksAreNotFollowed"}, {"registry", "TestReferences"}, {"encoder", "TestNamesThatLeadElsewhereAreRefused"},
	}},
	{Number: 16, Name: "Network, and requests forged through it", Goal: "No network unless a flag says so; addresses inside are refused after resolving, at every redirect; size, time and redirects are bounded.", Tests: []proof{
		{"cmd/medprobe", "TestRunWithoutANetwork"}, {"datasets", "TestNetworkOnlyWhereItIsAllowed"}, {"datasets", "TestAddressesInsideAreRefused"}, {"datasets", "TestRemoteNeverAsksThisMachine"}, {"datasets", "TestRedirectInsideIsRefused"}, {"datasets", "TestNameThatResolvesDifferentlyIsRefused"}, {"datasets", "TestRemoteIsBounded"},
	}},
	{Number: 17, Name: "Formulas in CSV", Goal: "In tables for people, text that a spreadsheet would compute begins with an apostrophe, and numbers stay numbers; tables for programs are written as they are.", Tests: []proof{
		{"cmd/medprobe", "TestFormulasInTables"},
	}},
	{Number: 18, Name: "HTML and other markup in reports", Goal: "Text from outside stays text in every form; chromium opens no dialog and asks for nothing.", Tests: []proof{
		{"cmd/medprobe", "TestHostileLabelStaysAName"}, {"cmd/medprobe", "TestCommands/hostile"}, {"report", "TestBrowserFindsNothingThatActs"}, {"report", "TestHostileNamesStayText"}, {"report", "TestGateJUnitIsReadBack"}, {"report", "TestGateOpenMetricsGrammar"}, {"report", "TestGateAnnotationsStayCommands"},
	}},
	{Number: 19, Name: "Control characters in terminal and log", Goal: "Names are shown without what a terminal would obey.", Tests: []proof{
		{"cmd/medprobe", "TestStrangeNamesOfFiles"}, {"cmd/medprobe", "TestTerminalTakesCtrlCAndKeepsFailures"}, {"report", "TestHostileNamesStayText"},
	}},
	{Number: 20, Name: "Serving over HTTP", Goal: "Bounds on headers, bodies, queues and time; no reply lost at the end.", Short: "medprobe serves nothing over HTTP: there is no command that listens. The row comes with the first one that does."},
	{Number: 21, Name: "Provenance of a model's files", Goal: "Every bit, file, swap and link that changed is found; signatures by ed25519; the library by its SHA-256.", Tests: []proof{
		{"registry", "TestVerifyFindsEveryChange"}, {"registry", "TestSignatureFindsEveryKindOfTampering"}, {"encoder", "TestVerifyFindsEveryChange"}, {"tools/setup", "TestOnlyThePinnedLibraryIsInstalled"},
	}},
	{Number: 22, Name: "Patients' data in exports", Goal: "No name, id or path of the images in any export, report or log.", Tests: []proof{
		{"cmd/medprobe", "TestNothingNamesARealPatient"}, {"registry", "TestExportsNameNobodyAndAreTheSameTwice"}, {"experiment", "TestReportNamesNobody"}, {"datasets", "TestIDsAreHiddenUnderAKey"}, {"embedcache", "TestServerHoldsNoNames"},
	}},
	{Number: 23, Name: "Numbers that lie", Goal: "NaN, infinities, one class only, all scores equal, weights of 10^308: an error or a defined value, never a gate that passes.", Tests: []proof{
		{"cmd/medprobe", "TestLyingNumbersNeverPassTheGate"}, {"embedcache", "TestImportRefuses"}, {"trainer", "TestBadInputIsNamed"}, {"trainer", "TestDamagedHeadIsRefused"}, {"evaluate", "TestDegenerateScoresHaveHonestIntervals"}, {"evaluate", "TestGateVerdicts"},
	}},
	{Number: 24, Name: "Clock, locale, umask, read-only home, strange paths, closed streams, signals", Goal: "Exit 130 at an interrupt, nothing lost, no panic, files of the owner's only.", Tests: []proof{
		{"cmd/medprobe", "TestInterruptIsExit130AndGoesOn"}, {"cmd/medprobe", "TestSecondInterruptEndsAtOnce"}, {"cmd/medprobe", "TestClosedPipesAndStrangeEnvironments"}, {"cmd/medprobe", "TestCacheAndRunsArePrivateWhateverTheUmask"}, {"cmd/medprobe", "TestReadOnlyRegistry"}, {"embedcache", "TestClockThatWasSetBack"},
	}},
	{Number: 25, Name: "Memory and leaks", Goal: "Memory, goroutines and open files stay as they are, however long a process runs.", Tests: []proof{
		{"cmd/medprobe", "TestSoak"}, {"encoder", "TestManyRunsDoNotGrowTheProcess"}, {"embedcache", "TestMemoryStaysFlat"},
	}},
}
